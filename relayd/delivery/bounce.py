"""Route ``bounce``: reads reports that come to the Viewer's own addresses, from others' mail servers and from our
queue.

Only who was told of such an address can use it, and what a report says counts for what was sent from it alone: that the
notification of this grant's reader failed, or his answer, or what he passed on. The first reaches the sender as a
failure report like any other, the others their writer as a notice. Everything else is noted and goes no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import structlog

from relayd.clock import Clock
from relayd.delivery.installation import ADDRESS_KINDS, digest
from relayd.delivery.notices import Notices
from relayd.delivery.viewer import Composer
from relayd.directory.directory import Directory
from relayd.errors import NotFound, StoreUnavailable, SyntaxInvalid
from relayd.journal import kinds
from relayd.mail.address import parse_address
from relayd.mail.dsn import Action
from relayd.mail.dsn_read import LIMIT, Reported, read_dsn
from relayd.queue.aftermath import Reported as ToReport
from relayd.queue.outcome import Content, Job, Outcome, Result
from relayd.queue.settling import Reporter
from relayd.store.ids import new_id
from relayd.store.interface import Store
from relayd.store.records import Delivery, Message, NewMessage
from relayd.store.viewer_tables import AddressKind, Grant

log = structlog.get_logger("relayd.delivery")


#: What a reader does, and what the journal says when it didn't arrive.
_REPLIED: Final = (kinds.REPLIED, kinds.REPLY_FAILED)
_PASSED_ON: Final = (kinds.PASSED_ON, kinds.FORWARD_FAILED)


class BounceRoute:
    """Delivers to the journal of the message that the report is about, and tells whom it concerns."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        reporter: Reporter,
        notices: Notices,
        directory: Callable[[], Directory],
        clock: Clock,
    ) -> None:
        self._store = store
        self._composer = composer
        self._reporter = reporter
        self._notices = notices
        self._directory = directory
        self._clock = clock

    async def deliver(self, job: Job) -> list[Outcome]:
        try:
            reported = await _read(job.content)
        except SyntaxInvalid as error:
            log.info("bounce_ignored", id=job.message.id, reason=str(error))
            return [_done(one, f"ignored: {error}") for one in job.deliveries]
        try:
            return [await self._one(delivery, reported) for delivery in job.deliveries]
        except StoreUnavailable:
            return [Outcome(one.number, Result.DEFERRED, "4.3.0", "disk unavailable") for one in job.deliveries]

    async def close(self) -> None:
        return

    async def _one(self, delivery: Delivery, reported: list[Reported]) -> Outcome:
        prefix, _, token = delivery.recipient.rpartition("@")[0].lower().partition(".")
        kind = ADDRESS_KINDS.get(prefix, AddressKind.BOUNCE)
        grant: Grant | None = await self._store.call(
            "viewer_grant_by_address", kind=kind.value, token_hash=digest(token)
        )
        if grant is None or not grant.recipient:
            return _done(delivery, "ignored: what it is about has ended")
        try:
            message = await self._store.message(grant.message_id)
        except NotFound:
            return _done(delivery, "ignored: what it is about has ended")
        for one in reported:
            if one.action != "failed":
                continue
            if kind is AddressKind.FORWARD:
                return await self._writing_failed(delivery, grant, message, one, _PASSED_ON)
            names = {_key(name) for name in (one.original, one.address) if name}
            if _key(grant.recipient) in names:
                return await self._notification_failed(delivery, grant, message, one)
            if message.sender and _key(message.sender) in names:
                return await self._writing_failed(delivery, grant, message, one, _REPLIED)
        return _done(delivery, "ignored: it says of nobody here that something failed")

    async def _notification_failed(
        self, delivery: Delivery, grant: Grant, message: Message, reported: Reported
    ) -> Outcome:
        told = [event.kind for event in await self._store.journal(message.id) if event.recipient == grant.recipient]
        if kinds.NOTIFICATION_FAILED in told[_last(told, kinds.NOTIFIED) + 1 :]:
            return _done(delivery, "known: the notification failed")
        status = reported.status or "5.0.0"
        follow_up = await self._failure_report(grant, message, status, reported.diagnostic)
        return replace(
            _done(delivery, "the notification failed; its sender is told"),
            follow_ups=(follow_up,) if follow_up is not None else (),
            operations=(_failed(grant, kinds.NOTIFICATION_FAILED, status),),
        )

    async def _failure_report(self, grant: Grant, message: Message, status: str, reply: str) -> NewMessage | None:
        """The report to the original's sender, about his own recipient."""
        if not message.sender:
            return None
        deliveries = await self._store.deliveries(message.id)
        about = next((one for one in deliveries if _key(one.recipient) == _key(grant.recipient)), None)
        if about is None:
            return None
        words = (
            f"the notification couldn't be delivered: {reply}" if reply else "the notification couldn't be delivered"
        )
        outcome = Outcome(about.number, Result.FAILED, status, words)
        return await self._reporter.report(message, None, [ToReport(about, outcome, Action.FAILED, status)])

    async def _writing_failed(
        self, delivery: Delivery, grant: Grant, message: Message, reported: Reported, what: tuple[str, str]
    ) -> Outcome:
        """What the reader wrote didn't arrive, and he is told: once for each time that he did, whoever reports it how
        often."""
        written, failed = what
        events = [event for event in await self._store.journal(message.id) if event.recipient == grant.recipient]
        times = [event.at for event in events if event.kind == written and event.facts.get("to") != "outside"]
        if sum(event.kind == failed for event in events) >= len(times):
            return _done(delivery, "known: what the reader wrote failed")
        organisation = self._directory().organisations.get(grant.organisation)
        if organisation is None:
            return _done(delivery, "ignored: the organisation is no longer known")
        now, identity = self._clock.now(), new_id(self._clock)
        tell = self._notices.forward_failed if written == kinds.PASSED_ON else self._notices.reply_failed
        content = tell(organisation, grant.recipient, times[-1], now, identity)
        notice = await self._composer.compose(
            organisation=grant.organisation, recipient=grant.recipient, content=content, parent=message.id
        )
        return replace(
            _done(delivery, "what the reader wrote failed; he is told"),
            follow_ups=(notice,),
            operations=(_failed(grant, failed, reported.status or "5.0.0"),),
        )


async def _read(content: Content) -> list[Reported]:
    if content.size > LIMIT:
        raise SyntaxInvalid("too large for a report")
    return await asyncio.to_thread(read_dsn, b"".join([block async for block in content.blocks()]))


def _failed(grant: Grant, kind: str, status: str) -> tuple[str, dict[str, Any]]:
    return "viewer_failed", {"grant_id": grant.id, "kind": kind, "status": status}


def _done(delivery: Delivery, words: str) -> Outcome:
    return Outcome(delivery.number, Result.DELIVERED, "2.0.0", words)


def _key(address: str) -> str:
    try:
        return parse_address(address).key
    except SyntaxInvalid:
        return address.lower()


def _last(words: list[str], word: str) -> int:
    """Where it stands last, -1 where it doesn't."""
    return max((number for number, one in enumerate(words) if one == word), default=-1)
