"""Reports to the sender (RFC 3461, RFC 3464): built, sealed and made durable, to be committed with what they report.

How much of the message goes back depends on the way back: RET=FULL is honoured for failures where the report travels
as confidential mail does, never where it leaves as a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from relayd.clock import Clock
from relayd.directory.directory import Directory
from relayd.errors import SyntaxInvalid
from relayd.mail.address import parse_address
from relayd.mail.body import Body
from relayd.mail.dsn import Action, ReportedRecipient, ReportRequest, build_full_report, build_report
from relayd.mail.headers import split_fields
from relayd.pipeline.verdict import MessageClass
from relayd.queue.aftermath import Reported
from relayd.queue.composer import Composer, way_to
from relayd.settings.models import Configuration
from relayd.store.forgetting import Ending
from relayd.store.ids import new_id
from relayd.store.records import Message, NewMessage

#: What a notice may show of the original: enough to find it again, nothing that says what it is about.
_PUBLIC = frozenset({b"from", b"to", b"cc", b"date", b"message-id", b"received"})

log = structlog.get_logger("relayd.queue")


class InForce(Protocol):
    """What reports need of the state that a reload replaces."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def directory(self) -> Directory: ...


class Reports:
    """The lanes' reporter."""

    def __init__(self, composer: Composer, in_force: Callable[[], InForce], clock: Clock) -> None:
        self._composer = composer
        self._in_force = in_force
        self._clock = clock

    async def report(self, message: Message, body: Body | None, reported: Sequence[Reported]) -> NewMessage | None:
        """One report on these recipients of ``message``, or None where its sender can't be an address."""
        try:
            address = parse_address(message.sender)
        except SyntaxInvalid:
            log.warning("sender_not_reportable", id=message.id)
            return None
        in_force = self._in_force()
        way = way_to(in_force.directory, address)
        notice = way.message_class is MessageClass.NOTICE
        head = body.head if body is not None else b""
        request = self._request(message, reported, _public(head) if notice else head, in_force.configuration)
        whole = (
            body is not None
            and message.ret == "FULL"
            and not message.require_tls  # RFC 8689 §5: as if RET=HDRS were given
            and not notice
            and any(one.action is Action.FAILED for one in reported)
        )
        before, after = build_full_report(request) if whole else (build_report(request), b"")
        composed = await self._composer.compose(
            organisation=message.organisation,
            recipient=message.sender,
            content=before,
            parent=message.id,
            body=body if whole else None,
            after=after,
            identity=request.id,
        )
        return msgspec.structs.replace(
            composed, smtputf8=composed.smtputf8 and request.smtputf8, require_tls=message.require_tls
        )

    async def ending(self, ending: Ending) -> NewMessage | None:
        """Tell the sender that a message still waits and is forgotten on its retention day, with the hold it is in."""
        if not ending.sender:
            return None  # RFC 3461 §5.2.3: nobody is told about a report.
        configuration = self._in_force().configuration
        recipients = tuple(
            ReportedRecipient(
                final=recipient,
                action=Action.DELAYED,
                status="4.7.0",
                reply="it waits still, and is deleted undelivered on its retention day",
                until=ending.expires_at,
            )
            for recipient in ending.recipients
        )
        request = ReportRequest(
            id=new_id(self._clock),
            hostname=configuration.hostname,
            sender=configuration.notices.from_address or f"postmaster@{configuration.hostname}",
            to=ending.sender,
            recipients=recipients,
            arrived=ending.received_at,
            now=self._clock.now(),
            head=b"",
        )
        composed = await self._composer.compose(
            organisation=ending.organisation,
            recipient=ending.sender,
            content=build_report(request),
            parent=ending.message_id,
            identity=request.id,
        )
        return msgspec.structs.replace(composed, require_tls=ending.require_tls)

    def _request(
        self, message: Message, reported: Sequence[Reported], head: bytes, configuration: Configuration
    ) -> ReportRequest:
        until = message.received_at + configuration.queue.lifetime.total_seconds()
        recipients = tuple(
            ReportedRecipient(
                final=one.delivery.recipient,
                action=one.action,
                status=one.status,
                orcpt=one.delivery.orcpt,
                remote=one.outcome.remote,
                reply=one.outcome.reply,
                until=until if one.action is Action.DELAYED else None,
            )
            for one in reported
        )
        return ReportRequest(
            id=new_id(self._clock),
            hostname=configuration.hostname,
            sender=configuration.notices.from_address or f"postmaster@{configuration.hostname}",
            to=message.sender,
            recipients=recipients,
            arrived=message.received_at,
            now=self._clock.now(),
            head=head,
            envid=message.envid,
            smtputf8=message.smtputf8,
        )


def _public(head: bytes) -> bytes:
    return b"".join(field for field in split_fields(head) if field.partition(b":")[0].strip().lower() in _PUBLIC)
