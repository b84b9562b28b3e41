"""Undecided recipients: asked again on retry, until they have a route, are refused, or grow too old."""

from __future__ import annotations

from ipaddress import ip_address

from relayd.daemon.services import Services
from relayd.directory.directory import Origin, Via
from relayd.mail.address import NULL_SENDER, parse_address
from relayd.mail.body import Body
from relayd.mail.envelope import Envelope, Listener, Notify, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import MessageMeta
from relayd.pipeline.plan import Plan
from relayd.pipeline.policy import Mail
from relayd.store.records import Delivery, Message


async def rejudge(
    services: Services, message: Message, deliveries: tuple[Delivery, ...], body: Body, meta: MessageMeta
) -> Plan:
    """The plan for ``deliveries``, all undecided ones of ``message``. The rules are those in force now."""
    in_force = services.in_force
    recipients = tuple(_recipient(delivery) for delivery in deliveries)
    mail = Mail(
        id=message.id,
        peer=_peer(message),
        origin=_origin(message),
        envelope=Envelope(
            sender=parse_address(message.sender) if message.sender else NULL_SENDER,
            recipients=recipients,
            smtputf8=message.smtputf8,
        ),
        recipients=recipients,
        headers=Headers(body.head),
        body=body,
        parts=meta.parts,
    )
    return await in_force.pipeline.judge_routes(mail, services.context(in_force))


def _recipient(delivery: Delivery) -> Recipient:
    notify = frozenset(Notify(word) for word in delivery.notify.split(",")) if delivery.notify else None
    return Recipient(parse_address(delivery.recipient), notify, delivery.orcpt)


def _peer(message: Message) -> Peer:
    """The peer is long gone; what it proved when it came is in the message's organisation and account."""
    listener = Listener.SUBMISSION if message.origin == Listener.SUBMISSION.value else Listener.RELAY
    return Peer(ip_address("0.0.0.0"), 0, listener, account=message.account)  # noqa: S104 an address that is nobody's


def _origin(message: Message) -> Origin:
    return Origin(Via.INTERNAL, (message.organisation,), account=message.account or "")
