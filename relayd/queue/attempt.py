"""One try of one job: open the content, ask the route, and turn whatever happens into an aftermath per delivery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from relayd.clock import Clock
from relayd.errors import KeyDestroyed, NotFound, RelaydError, SealBroken
from relayd.mail.body import Body
from relayd.mail.meta import Derived, HeaderPatch, MessageMeta
from relayd.mail.patch import PatchedBody
from relayd.queue.aftermath import Aftermath, aftermath, given_back, set_aside
from relayd.queue.outcome import Job, Outcome, Result, Route
from relayd.queue.work import Work
from relayd.settings.models import QueueSettings
from relayd.store.blobs import Blobs
from relayd.store.records import Claimed, Delivery, Message, Settlement, State
from relayd.telemetry.metrics import DELIVERIES
from relayd.vault.meta import open_meta
from relayd.vault.vault import Vault

log = structlog.get_logger("relayd.queue")

#: Judges undecided deliveries again. A settlement says QUEUED with its route, UNDECIDED (still), FAILED (refused) or
#: HELD; ``last_reply`` is the reply as text ("451 4.4.3 …"). Its next attempt and its report are the lanes' business.
Rejudge = Callable[[Claimed, Body, MessageMeta], Awaitable[Sequence[Settlement]]]


class Crowded(RelaydError):
    """So many copies are being made anew that this one has to wait, for about so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many copies are made at once")
        self.seconds = seconds


class Derive(Protocol):
    """Makes a copy's content anew, once, or finds what was made: None for one that can't be, which goes out as it came.
    ``attempts`` were made before this one. Raises Crowded; RelaydError or OSError where a later try may work."""

    async def __call__(
        self, message: Message, copy: int, body: Body, meta: MessageMeta, attempts: int
    ) -> tuple[Body, Derived] | None: ...


async def no_transforms(
    message: Message, copy: int, body: Body, meta: MessageMeta, attempts: int
) -> tuple[Body, Derived] | None:
    """Where nothing is made anew."""
    return None


class Contents(Protocol):
    """Opens stored messages. Raises VaultError, StoreError or OSError."""

    def open(self, message: Message, body: Body | None) -> tuple[Body, MessageMeta]: ...


class SealedContents:
    """Messages as vault and blobs keep them. ``body`` stands in for the stored one while it is at hand."""

    def __init__(self, vault: Vault, blobs: Blobs) -> None:
        self._vault = vault
        self._blobs = blobs

    def open(self, message: Message, body: Body | None) -> tuple[Body, MessageMeta]:
        key = self._vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
        meta = open_meta(key, message.meta)
        return body or self._blobs.open(message.body, key, meta.head_length, message.size), meta


class Attempt:
    """Tries jobs. Never raises for what a peer, a policy, the vault or a disk did."""

    def __init__(
        self,
        contents: Contents,
        rejudge: Rejudge,
        clock: Clock,
        random: Callable[[], float],
        derive: Derive = no_transforms,
    ) -> None:
        self._contents = contents
        self._rejudge = rejudge
        self._derive = derive
        self._clock = clock
        self._random = random

    async def run(
        self, work: Work, route: Route | None, settings: QueueSettings, still_mine: Callable[[], bool]
    ) -> list[Aftermath]:
        """One aftermath per delivery."""
        deliveries = work.deliveries
        try:
            body, meta = self._open(work)
            work.body, work.meta = body, meta
            if not deliveries[0].route:
                settlements = await self._rejudge(Claimed(work.message, deliveries), body, meta)
                return self._judged(work, settlements, settings)
            if route is None:
                return self._deferred(work, "4.3.5", f"no route is called {deliveries[0].route}", settings)
            outcomes = await route.deliver(await self._job(work, body, meta, still_mine))
        except Crowded as crowded:
            return [given_back(delivery, self._clock.now() + crowded.seconds) for delivery in deliveries]
        except KeyDestroyed:
            gone = [Outcome(d.number, Result.FAILED, "5.3.0", "its retention has ended") for d in deliveries]
            return self._after(work, gone, settings)
        except SealBroken as error:
            log.error("content_damaged", id=work.message.id, reason=str(error))
            return [set_aside(d, "its content is damaged", self._clock.now()) for d in deliveries]
        except (RelaydError, OSError) as error:
            log.error("content_unavailable", id=work.message.id, error=type(error).__name__, reason=str(error))
            return self._deferred(work, "4.3.0", "its content can't be read now", settings)
        except Exception:
            # A defect of ours: the message stays, the trace goes to the log.
            log.exception("delivery_defect", id=work.message.id, route=deliveries[0].route)
            return self._deferred(work, "4.3.0", "an internal error", settings)
        return self._after(work, outcomes, settings)

    def _open(self, work: Work) -> tuple[Body, MessageMeta]:
        if work.body is not None and work.meta is not None:
            return work.body, work.meta
        return self._contents.open(work.message, work.body)

    async def _job(self, work: Work, body: Body, meta: MessageMeta, still_mine: Callable[[], bool]) -> Job:
        copy, attempts = work.deliveries[0].copy, work.deliveries[0].attempts
        if copy >= len(meta.copies):
            raise NotFound(f"message {work.message.id} has no copy {copy}")
        if copy in meta.transformations and (made := await self._derive(work.message, copy, body, meta, attempts)):
            content, derived = made
            meta = msgspec.structs.replace(meta, head_length=derived.head_length, parts=derived.parts)
            transformation = meta.transformations[copy]
            return Job(work.message, work.deliveries, HeaderPatch(), content, meta, still_mine, transformation)
        patch: HeaderPatch = meta.copies[copy]
        content = PatchedBody(body, patch) if patch.drop or patch.put else body
        return Job(work.message, work.deliveries, patch, content, meta, still_mine)

    def _after(self, work: Work, outcomes: Sequence[Outcome], settings: QueueSettings) -> list[Aftermath]:
        now = self._clock.now()
        found = []
        for delivery, outcome in zip(work.deliveries, outcomes, strict=True):
            after = aftermath(work.message, delivery, outcome, now, settings, self._random)
            _log(work.message, delivery, outcome, after.settlement.state)
            found.append(after)
        return found

    def _deferred(self, work: Work, status: str, reply: str, settings: QueueSettings) -> list[Aftermath]:
        outcomes = [Outcome(d.number, Result.DEFERRED, status, reply) for d in work.deliveries]
        return self._after(work, outcomes, settings)

    def _judged(self, work: Work, settlements: Sequence[Settlement], settings: QueueSettings) -> list[Aftermath]:
        by_number = {settlement.number: settlement for settlement in settlements}
        return [self._judged_one(work, d, by_number.get(d.number), settings) for d in work.deliveries]

    def _judged_one(
        self, work: Work, delivery: Delivery, settlement: Settlement | None, settings: QueueSettings
    ) -> Aftermath:
        now = self._clock.now()
        if settlement is not None and settlement.state not in (State.UNDECIDED, State.FAILED):
            return Aftermath(settlement)
        reply = (settlement.last_reply if settlement is not None else "") or "no policy decides yet"
        refused = settlement is not None and settlement.state is State.FAILED
        words = reply.split(" ", 2)
        status = words[1] if len(words) > 1 and words[1][:2] in ("4.", "5.") else "5.7.1" if refused else "4.3.0"
        outcome = Outcome(delivery.number, Result.FAILED if refused else Result.DEFERRED, status, reply)
        after = aftermath(work.message, delivery, outcome, now, settings, self._random)
        _log(work.message, delivery, outcome, after.settlement.state)
        if settlement is None:
            return after
        found = after.settlement
        judged = msgspec.structs.replace(
            settlement,
            state=found.state,
            next_attempt=found.next_attempt,
            last_reply=found.last_reply,
            delayed_notice=found.delayed_notice,
            events=(*settlement.events, *found.events),
        )
        return Aftermath(judged, after.reported)


def _log(message: Message, delivery: Delivery, outcome: Outcome, state: State) -> None:
    DELIVERIES.add(delivery.route, outcome.result.value)
    log.info(
        "delivery",
        id=message.id,
        domain=delivery.domain,
        route=delivery.route,
        result=outcome.result.value,
        status=outcome.status,
        next_hop=outcome.next_hop,
        attempt=delivery.attempts + 1,
        state=state.value,
    )
