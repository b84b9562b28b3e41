"""Undecided recipients: asked again on retry, until they have a route, are refused, or grow too old."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from relayd.daemon.services import Services
from relayd.directory.directory import Origin, Via
from relayd.mail.address import NULL_SENDER, parse_address
from relayd.mail.body import Body
from relayd.mail.envelope import Envelope, Listener, Notify, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import MessageMeta
from relayd.pipeline.plan import Plan
from relayd.pipeline.policy import Mail
from relayd.store.records import Claimed, Delivery, Message, Settlement, State
from relayd.vault.meta import seal_meta


async def rejudge(services: Services, claimed: Claimed, body: Body, meta: MessageMeta) -> list[Settlement]:
    """Judge the claimed deliveries, all undecided, by the rules in force now. One settlement for each."""
    in_force, message = services.in_force, claimed.message
    recipients = tuple(_recipient(delivery) for delivery in claimed.deliveries)
    mail = Mail(
        id=message.id,
        peer=_peer(message),
        origin=Origin(Via.INTERNAL, (message.organisation,), account=message.account or ""),
        envelope=Envelope(
            sender=parse_address(message.sender) if message.sender else NULL_SENDER,
            recipients=recipients,
            smtputf8=message.smtputf8,
            require_tls=message.require_tls,
        ),
        recipients=recipients,
        headers=Headers(body.head),
        body=body,
        parts=meta.parts,
    )
    plan = await in_force.pipeline.judge_routes(mail, services.context(in_force))
    sealed = _with_mobiles(services, message, meta, plan)
    return [_settlement(delivery, plan, sealed) for delivery in claimed.deliveries]


def _settlement(delivery: Delivery, plan: Plan, sealed_meta: bytes | None) -> Settlement:
    key = parse_address(delivery.recipient).key
    planned = {one.recipient.address.key: one for copy in plan.copies for one in copy.deliveries}.get(key)
    state, reply, route = State.UNDECIDED, "", planned.route if planned else None
    if key in plan.refused:
        state, reply = State.FAILED, str(plan.refused[key])
    elif planned is not None and planned.held:
        state = State.HELD
    elif route is not None:
        state = State.QUEUED
    return Settlement(
        message_id=delivery.message_id,
        number=delivery.number,
        generation=delivery.generation,
        state=state,
        last_reply=reply,
        # The header patch was decided at the accept and stays: only the way was open.
        route=route.kind.value if route else None,
        target=route.target if route else None,
        message_class=route.message_class.value if route else None,
        meta=sealed_meta,
        events=plan.events,
    )


def _with_mobiles(services: Services, message: Message, meta: MessageMeta, plan: Plan) -> bytes | None:
    """The message's meta with the numbers found only now; None when there are none."""
    if not plan.mobiles:
        return None
    key = services.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    return seal_meta(key, msgspec.structs.replace(meta, mobiles={**meta.mobiles, **plan.mobiles}))


def _recipient(delivery: Delivery) -> Recipient:
    notify = frozenset(Notify(word) for word in delivery.notify.split(",")) if delivery.notify else None
    return Recipient(parse_address(delivery.recipient), notify, delivery.orcpt)


def _peer(message: Message) -> Peer:
    """The peer is long gone; what it proved when it came is in the message's organisation and account."""
    listener = Listener.SUBMISSION if message.origin == Listener.SUBMISSION.value else Listener.RELAY
    return Peer(ip_address("0.0.0.0"), 0, listener, account=message.account)  # noqa: S104 an address that is nobody's
