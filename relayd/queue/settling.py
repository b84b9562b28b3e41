"""Records outcomes in batches of whatever is ready, one store call at a time, with the reports that follow from them.

A report belongs to the settlement it follows from: both are committed, or neither. Recipients of one message that are
recorded together share one report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec
import structlog

from relayd import failpoints
from relayd.errors import RelaydError, StoreUnavailable
from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.mail.body import Body
from relayd.queue.aftermath import Aftermath, Reported
from relayd.store.interface import Store
from relayd.store.records import Message, NewMessage, Settlement, State

_BATCH: Final = 500

log = structlog.get_logger("relayd.queue")


class Reporter(Protocol):
    """Makes reports. Raises StoreUnavailable when a body can't be stored now."""

    async def report(self, message: Message, body: Body | None, reported: Sequence[Reported]) -> NewMessage | None:
        """The report on these recipients, its body durable; None where there is nobody to tell."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """One job's outcomes on their way into the store. ``recorded`` is called when they are there."""

    message: Message
    body: Body | None
    after: tuple[Aftermath, ...]
    recorded: Callable[[Settled], None]


class Settler:
    """The one writer of this worker's outcomes."""

    def __init__(
        self, store: Store, reporter: Reporter, sick: Callable[[StoreUnavailable], Awaitable[None]], pause: float
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._sick = sick
        self._pause = pause
        self._waiting: list[Settled] = []
        self._put_off = 0
        self._ready = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    def put(self, settled: Settled) -> None:
        self._waiting.append(settled)
        self._done.clear()
        self._ready.set()

    async def finish(self, patience: float) -> None:
        """Until all is recorded, or ``patience`` is at its end."""
        try:
            async with asyncio.timeout(patience):
                await self._done.wait()
        except TimeoutError:
            log.error("outcomes_not_recorded", jobs=len(self._waiting))

    async def run(self) -> None:
        while True:
            await self._ready.wait()
            # All that became ready in this turn of the loop goes along.
            await asyncio.sleep(0)
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            await self._record(batch)
            if not self._waiting:
                self._ready.clear()
                if not self._put_off:
                    self._done.set()

    async def _record(self, batch: list[Settled]) -> None:
        failpoints.reach("before-settle")
        batch, settlements = await self._with_reports(batch)
        while batch:
            try:
                kept = await self._store.settle(settlements)
                break
            except StoreUnavailable as error:
                # They are tried, so they must be recorded: wait for the store, however long it takes.
                await self._sick(error)
            except Exception:
                log.exception("settlement_defect", jobs=len(batch))
                await self._one_by_one(batch)
                return
        else:
            return
        try:
            await self._after(batch, settlements, kept)
        except StoreUnavailable:
            log.error("reports_not_stored")
        for settled in batch:
            settled.recorded(settled)

    async def _one_by_one(self, batch: list[Settled]) -> None:
        """One of these can't be recorded, by a defect: the others must not suffer, and it waits for an operator."""
        if len(batch) > 1:
            for settled in batch:
                await self._record([settled])
            return
        settled = batch[0]
        try:
            await self._store.settle([_held(after.settlement) for after in settled.after])
        except StoreUnavailable as error:
            await self._sick(error)
            await self._one_by_one(batch)
            return
        except Exception:
            log.exception("settlement_impossible", id=settled.message.id)
        settled.recorded(settled)

    async def _with_reports(self, batch: list[Settled]) -> tuple[list[Settled], list[Settlement]]:
        """The batch with its settlements, reports included; without the outcomes whose report can't be stored now."""
        reports: dict[str, NewMessage] = {}
        late: set[str] = set()
        if any(after.reported for settled in batch for after in settled.after):
            for message_id, group in _by_message(batch).items():
                reported = [a.reported for settled in group for a in settled.after if a.reported is not None]
                try:
                    if reported and (report := await self._report(group[0], reported)) is not None:
                        reports[message_id] = report
                except StoreUnavailable as error:
                    log.warning("report_not_stored", id=message_id, reason=str(error))
                    late.add(message_id)
        if late:
            batch = [now for settled in batch if (now := self._without_late(settled, late)).after]
        return batch, [self._attached(after, reports) for settled in batch for after in settled.after]

    def _without_late(self, settled: Settled, late: set[str]) -> Settled:
        """What of ``settled`` can be recorded now; what waits for a report of these messages comes again in a moment.
        One message's trouble, say with its key, mustn't hold up the outcomes of others."""
        if settled.message.id not in late:
            return settled
        waiting = tuple(after for after in settled.after if after.reported is not None)
        if waiting:
            self._put_off += 1
            asyncio.get_running_loop().call_later(self._pause, self._put_again, replace(settled, after=waiting))
        return replace(settled, after=tuple(after for after in settled.after if after.reported is None))

    def _put_again(self, settled: Settled) -> None:
        self._put_off -= 1
        self.put(settled)

    @staticmethod
    def _attached(after: Aftermath, reports: dict[str, NewMessage]) -> Settlement:
        """The settlement, with its message's report if it is the first that has a part in it."""
        settlement = after.settlement
        if after.reported is None or (report := reports.pop(settlement.message_id, None)) is None:
            return settlement
        facts = {"report": report.id, "action": after.reported.action.value}
        event = Event(report.received_at, kinds.REPORTED, after.reported.delivery.recipient, facts)
        return msgspec.structs.replace(
            settlement, follow_ups=(*settlement.follow_ups, report), events=(*settlement.events, event)
        )

    async def _report(self, settled: Settled, reported: Sequence[Reported]) -> NewMessage | None:
        try:
            return await self._reporter.report(settled.message, settled.body, reported)
        except StoreUnavailable:
            raise
        except (RelaydError, OSError) as error:
            log.error("report_impossible", id=settled.message.id, error=type(error).__name__, reason=str(error))
        except Exception:
            # A report that can't be made must not bring the delivery back to life.
            log.exception("report_defect", id=settled.message.id)
        return None

    async def _after(self, batch: list[Settled], settlements: Sequence[Settlement], kept: Sequence[bool]) -> None:
        stale = {(s.message_id, s.number) for s, ok in zip(settlements, kept, strict=True) if not ok}
        if not stale:
            return
        log.warning("settlements_stale", deliveries=len(stale))
        lost = {s.message_id for s in settlements if s.follow_ups and (s.message_id, s.number) in stale}
        for message_id, group in _by_message(batch).items():
            if message_id not in lost:
                continue
            # The report went with a recipient that somebody else had settled; the others still need theirs.
            left = [
                a.reported
                for settled in group
                for a in settled.after
                if a.reported is not None and (message_id, a.settlement.number) not in stale
            ]
            if left and (report := await self._report(group[0], left)) is not None:
                await self._store.accept(report)


def _held(settlement: Settlement) -> Settlement:
    """Neither what was to follow nor the state that promises it: an operator decides."""
    facts = {"by": "relayd", "reason": "its outcome can't be recorded", "outcome": settlement.state.value}
    return Settlement(
        message_id=settlement.message_id,
        number=settlement.number,
        generation=settlement.generation,
        state=State.HELD,
        last_reply=settlement.last_reply,
        events=(*settlement.events, *(Event(e.at, kinds.HELD, e.recipient, facts) for e in settlement.events[-1:])),
    )


def _by_message(batch: Sequence[Settled]) -> dict[str, list[Settled]]:
    groups: dict[str, list[Settled]] = {}
    for settled in batch:
        groups.setdefault(settled.message.id, []).append(settled)
    return groups
