"""What the MLLP server asks of the rest of relayd. ``daemon/mllp.py`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relayd.mail.envelope import Peer
from relayd.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Named:
    """What a message says of itself in MSH: its sending application and facility (MSH-3 and MSH-4 as written), control
    id (MSH-10), type (MSH-9), and character set by its Internet name, "" where it says none that is known."""

    application: str
    facility: str
    control_id: str
    type: str
    charset: str


class Exchange(Protocol):
    """One message on its way in. Ends with ``commit`` or ``discard``, which may be called at any time and twice."""

    def write(self, block: bytes) -> None:
        """Octets of the message as they came."""
        ...

    async def commit(self) -> Reply:
        """Judge, make durable, answer; a message that was taken before gets a positive reply too. Finished even when
        the peer leaves in the middle of it."""
        ...

    def discard(self) -> None: ...


class Door(Protocol):
    """The decisions of one connection. Every method may raise SmtpError."""

    def now(self) -> datetime:
        """The wall clock, with a time zone."""
        ...

    def connect(self, peer: Peer) -> Reply | None:
        """None lets the peer in."""
        ...

    def disconnect(self, peer: Peer) -> None: ...

    async def begin(self, peer: Peer, named: Named) -> Exchange:
        """A message begins. Raises SmtpError where its sender may not hand messages over here."""
        ...
