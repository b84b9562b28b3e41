"""What a try to deliver came to. A value, never an exception: whatever a peer did ends up here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from relayd.mail.envelope import TlsFacts
from relayd.mail.meta import HeaderPatch, MessageMeta, Transformation
from relayd.store.records import Delivery, Message, NewMessage


class Result(StrEnum):
    """DELIVERED: the other side has it. RELAYED: the same, but it doesn't know DSN. FAILED: it never will.
    DEFERRED: not now. AMBIGUOUS: the reply to the final dot was lost; it may have it, and will get it again."""

    DELIVERED = "delivered"
    RELAYED = "relayed"
    FAILED = "failed"
    DEFERRED = "deferred"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One delivery's outcome. ``status`` is an enhanced code (RFC 3463); ``reply`` the peer's reply or our own words.

    ``remote`` names the host that replied ("" when it was us), ``tls`` what its handshake proved. ``follow_ups`` and
    ``operations`` (name, arguments) are carried out in the settlement's own transaction: all of it happens, or none.
    """

    number: int
    result: Result
    status: str
    reply: str
    next_hop: str = ""
    remote: str = ""
    tls: TlsFacts | None = None
    facts: dict[str, str] = field(default_factory=dict)
    follow_ups: tuple[NewMessage, ...] = ()
    operations: tuple[tuple[str, dict[str, Any]], ...] = ()


class Content(Protocol):
    """One copy's octets: the sealed body, opened while it streams, with its header patch applied."""

    @property
    def size(self) -> int: ...

    def blocks(self) -> AsyncIterator[bytes]:
        """CRLF lines, dots not stuffed, in blocks of at most 256 KiB. Can be called again for another try."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Deliveries of one message that share route, target, class and copy: one transaction where the route allows.

    ``still_mine`` is asked immediately before the final dot; False means the lease was lost and the attempt must be
    abandoned. ``meta`` is opened only for routes that need more than the content. ``made_by`` says how the content was
    made anew, if it was: ``meta.parts`` are the parts of what came of it.
    """

    message: Message
    deliveries: tuple[Delivery, ...]
    patch: HeaderPatch
    content: Content
    meta: MessageMeta
    still_mine: Callable[[], bool]
    made_by: Transformation | None = None


class Route(Protocol):
    """One way out. Never raises for what a peer did; an exception from here is a defect and defers the job."""

    async def deliver(self, job: Job) -> list[Outcome]:
        """One outcome per delivery of the job, in their order."""
        ...

    async def close(self) -> None: ...
