"""Records outcomes in batches of whatever is ready, one store call at a time, with the reports that follow from them.

A report belongs to the settlement it follows from: both are committed, or neither. Recipients of one message that are
recorded together share one report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from relayd import failpoints
from relayd.errors import RelaydError, StoreUnavailable
from relayd.journal import kinds
from relayd.mail.body import Body
from relayd.queue.aftermath import Aftermath, Reported
from relayd.store.interface import Store
from relayd.store.records import Event, Message, NewMessage, Settlement, State

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

    def __init__(self, store: Store, reporter: Reporter, sick: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._reporter = reporter
        self._sick = sick
        self._waiting: list[Settled] = []
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
                self._done.set()

    async def _record(self, batch: list[Settled]) -> None:
        failpoints.reach("before-settle")
        settlements: list[Settlement] | None = None
        while True:
            try:
                if settlements is None:
                    settlements = await self._with_reports(batch)
                kept = await self._store.settle(settlements)
                break
            except StoreUnavailable:
                # They are tried, so they must be recorded: wait for the store, however long it takes.
                await self._sick()
            except Exception:
                log.exception("settlement_defect", jobs=len(batch))
                await self._one_by_one(batch)
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
        except StoreUnavailable:
            await self._sick()
            await self._one_by_one(batch)
            return
        except Exception:
            log.exception("settlement_impossible", id=settled.message.id)
        settled.recorded(settled)

    async def _with_reports(self, batch: list[Settled]) -> list[Settlement]:
        settlements = [after.settlement for settled in batch for after in settled.after]
        if not any(after.reported for settled in batch for after in settled.after):
            return settlements
        reports: dict[str, NewMessage] = {}
        for message_id, group in _by_message(batch).items():
            reported = [a.reported for settled in group for a in settled.after if a.reported is not None]
            if reported and (report := await self._report(group[0], reported)) is not None:
                reports[message_id] = report
        return [self._attached(after, reports) for settled in batch for after in settled.after]

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
