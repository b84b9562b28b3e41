"""Undecided recipients: asked again on retry, until they have a route, are refused, or grow too old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

import msgspec

from relayd.authenticity.dkim_sign import BodyHash
from relayd.daemon.copies import amended_patch
from relayd.daemon.services import Services
from relayd.directory.directory import STRANGER, Directory, Origin, Via
from relayd.mail.address import NULL_SENDER, NullSender, Sender, parse_address
from relayd.mail.body import Body
from relayd.mail.envelope import Envelope, Listener, Notify, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, MessageMeta, Transformation
from relayd.pipeline.plan import CopyPlan, Plan, PlannedDelivery
from relayd.pipeline.policy import Mail
from relayd.store.records import Claimed, Delivery, Message, Settlement, State
from relayd.vault.meta import seal_meta


async def rejudge(services: Services, claimed: Claimed, body: Body, meta: MessageMeta) -> list[Settlement]:
    """Judge the claimed deliveries, all undecided, by the rules in force now. One settlement for each."""
    in_force, message = services.in_force, claimed.message
    recipients = tuple(_recipient(delivery) for delivery in claimed.deliveries)
    sender = parse_address(message.sender) if message.sender else NULL_SENDER
    mail = Mail(
        id=message.id,
        peer=_peer(message),
        origin=_origin(message, sender, in_force.directory),
        envelope=Envelope(
            sender=sender,
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
    planned = {one.recipient.address.key: (copy, one) for copy in plan.copies for one in copy.deliveries}
    amended = await _amended(services, claimed, body, meta, planned)
    fresh = msgspec.structs.replace(
        meta,
        readers={**meta.readers, **plan.readers},
        copies=(*meta.copies, *amended.patches),
        transformations={**meta.transformations, **amended.transformations},
    )
    sealed = _sealed(services, message, fresh) if fresh != meta else None
    settlements = [_settlement(delivery, plan, planned, amended, sealed) for delivery in claimed.deliveries]
    return [msgspec.structs.replace(one, meta_before=message.meta) for one in settlements]


_Planned = Mapping[str, tuple[CopyPlan, PlannedDelivery]]


@dataclass(frozen=True, slots=True)
class _Amended:
    """Copies that change now: their patches, which delivery has which index in the message's meta, and by that index
    how their content is made anew."""

    patches: tuple[HeaderPatch, ...] = ()
    copies: Mapping[int, int] = field(default_factory=dict)
    transformations: Mapping[int, Transformation] = field(default_factory=dict)


async def _amended(services: Services, claimed: Claimed, body: Body, meta: MessageMeta, planned: _Planned) -> _Amended:
    """The copies that a policy changes now that it has found their way."""
    changes: dict[tuple[int, HeaderPatch, Transformation | None], list[int]] = {}
    for delivery in claimed.deliveries:
        copy, one = planned.get(_key(delivery), (None, None))
        if copy is None or one is None or one.route is None:
            continue
        if copy.patch != HeaderPatch() or copy.transformation:
            made = copy.transformation or meta.transformations.get(delivery.copy)
            changes.setdefault((delivery.copy, copy.patch, made), []).append(delivery.number)
    if not changes:
        return _Amended()
    hashed, headers, now = await _hashed(body), Headers(body.head), services.clock.now()
    patches = [
        amended_patch(services.in_force, headers, meta.copies[number], change, hashed, now)
        for number, change, _ in changes
    ]
    copies = {
        delivery: len(meta.copies) + index for index, numbers in enumerate(changes.values()) for delivery in numbers
    }
    made_anew = {len(meta.copies) + index: made for index, (_, _, made) in enumerate(changes) if made is not None}
    return _Amended(tuple(patches), copies, made_anew)


async def _hashed(body: Body) -> BodyHash:
    """The body's hash for a signature: what was hashed while it arrived is long gone."""
    hashed = BodyHash()
    start = len(body.head) + 2  # behind the empty line, where there is one
    if start < body.size:
        async for block in body.blocks(start):
            hashed.feed(block)
    return hashed


def _settlement(
    delivery: Delivery, plan: Plan, everyone: _Planned, amended: _Amended, sealed_meta: bytes | None
) -> Settlement:
    key = _key(delivery)
    _, planned = everyone.get(key, (None, None))
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
        copy=amended.copies.get(delivery.number),
        route=route.kind.value if route else None,
        target=route.target if route else None,
        message_class=route.message_class.value if route else None,
        meta=sealed_meta,
        events=plan.events,
    )


def _sealed(services: Services, message: Message, meta: MessageMeta) -> bytes:
    key = services.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    return seal_meta(key, meta)


def _key(delivery: Delivery) -> str:
    return parse_address(delivery.recipient).key


def _recipient(delivery: Delivery) -> Recipient:
    notify = frozenset(Notify(word) for word in delivery.notify.split(",")) if delivery.notify else None
    return Recipient(parse_address(delivery.recipient), notify, delivery.orcpt)


def _origin(message: Message, sender: Sender, directory: Directory) -> Origin:
    """Who sent it: its organisation, but for a stranger's message, whose organisation is its first recipient's."""
    owner = directory.organisations.get(message.organisation)
    if message.origin == Listener.VIEWER:
        return Origin(Via.INTERNAL, (message.organisation,))
    foreign = owner is None or not (isinstance(sender, NullSender) or owner.may_send_from(sender.domain))
    if foreign:
        return STRANGER
    return Origin(Via.INTERNAL, (message.organisation,), account=message.account or "")


def _peer(message: Message) -> Peer:
    """The peer is long gone; what it proved when it came is in the message's organisation and account."""
    known = message.origin in (Listener.SUBMISSION, Listener.VIEWER, Listener.MLLP)
    listener = Listener(message.origin) if known else Listener.RELAY
    return Peer(ip_address("0.0.0.0"), 0, listener, account=message.account)  # noqa: S104 an address that is nobody's
