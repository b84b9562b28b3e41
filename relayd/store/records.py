"""What crosses the store's border: plain records, the same in the store and on the Unix socket."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from relayd.journal.event import Event


class State(StrEnum):
    """Where one delivery stands.

    QUEUED waits for its next attempt. UNDECIDED has no route yet and is judged again on retry. HELD waits for an
    operator. The others are final: DELIVERED (a 250 of the next hop, a mailbox or the Viewer's store), RELAYED
    (the same, to a next hop without DSN), FAILED (5yz or expiry), CANCELLED (by an operator).
    """

    QUEUED = "queued"
    UNDECIDED = "undecided"
    HELD = "held"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = frozenset({State.QUEUED, State.UNDECIDED, State.HELD})


class BlobRef(msgspec.Struct, frozen=True, array_like=True):
    """Where a sealed body lies: ``file`` within the blob folder, ``offset`` and ``length`` in octets."""

    file: str
    offset: int
    length: int


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One recipient's way out. ``number`` counts within the message from 0, ``copy`` indexes MessageMeta.copies.

    ``route`` is "" while UNDECIDED. ``owner`` is the worker that may start at once (see Store.claim), None for
    anyone. ``notify`` is the sorted, comma-joined NOTIFY or None, ``orcpt`` the xtext as sent.
    """

    number: int
    recipient: str
    domain: str
    state: State = State.QUEUED
    route: str = ""
    target: str = ""
    message_class: str = "confidential"
    copy: int = 0
    notify: str | None = None
    orcpt: str | None = None
    next_attempt: float = 0.0
    owner: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A message without its deliveries. ``epoch`` is the ISO week of receipt ("2026-W48"). ``sender`` is "" for the
    null sender. ``origin`` is the listener ("relay", "submission") or "internal" for reports and notifications.
    ``parent`` is the message that an internal one is about. ``meta`` is the sealed MessageMeta. ``require_tls``: it
    came with REQUIRETLS, and so do all its copies (RFC 8689 §4.2.1). Times are unix seconds.
    """

    id: str
    organisation: str
    epoch: str
    received_at: float
    expires_at: float
    sender: str
    size: int
    origin: str
    wrapped_key: bytes
    body: BlobRef
    meta: bytes
    smtputf8: bool = False
    body_type: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    account: str | None = None
    parent: str | None = None
    require_tls: bool = False


class NewMessage(Message, frozen=True, kw_only=True, array_like=True):
    """One accepted message with its deliveries and first journal records, committed as a whole."""

    deliveries: tuple[NewDelivery, ...] = ()
    events: tuple[Event, ...] = ()


class Delivery(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A stored delivery. ``generation`` grows with every claim; a Settlement must name the one it was claimed under.

    ``delayed_notice`` says that the sender has been told of the delay. ``last_reply`` is the peer's last reply.
    """

    message_id: str
    number: int
    recipient: str
    domain: str
    state: State
    route: str
    target: str
    message_class: str
    copy: int
    notify: str | None
    orcpt: str | None
    next_attempt: float
    attempts: int
    owner: str | None
    generation: int
    delayed_notice: bool
    last_reply: str
    updated_at: float


class Claimed(msgspec.Struct, frozen=True, array_like=True):
    """A message and those of its deliveries that the caller now owns."""

    message: Message
    deliveries: tuple[Delivery, ...]


class Settlement(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What became of one claimed delivery, with what follows from it, in one transaction.

    ``next_attempt`` counts only for an open ``state``. ``route``, ``target``, ``message_class`` and ``copy`` replace
    the stored ones when not None (an undecided delivery that got its route), ``meta`` the
    message's sealed meta, if that is still the ``meta_before`` it was made from: otherwise another worker has decided
    about other recipients meanwhile, and this delivery is undecided again, to be judged at once. ``follow_ups`` are
    reports and notifications that must exist exactly when this settlement does; ``operations`` are named write
    operations with their arguments that run in the same transaction.
    """

    message_id: str
    number: int
    generation: int
    state: State
    next_attempt: float = 0.0
    counts_as_attempt: bool = True
    last_reply: str = ""
    delayed_notice: bool | None = None
    route: str | None = None
    target: str | None = None
    message_class: str | None = None
    copy: int | None = None
    meta: bytes | None = None
    meta_before: bytes = b""
    events: tuple[Event, ...] = ()
    follow_ups: tuple[NewMessage, ...] = ()
    operations: tuple[tuple[str, dict[str, Any]], ...] = ()
