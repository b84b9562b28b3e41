"""What the SMTP server asks of the rest of relayd. ``daemon/intake.py`` answers; tests answer with a script."""

from __future__ import annotations

from typing import Protocol

from relayd.mail.envelope import Envelope, Peer, Recipient
from relayd.mail.reply import Reply


class Receiving(Protocol):
    """A body while it arrives. Blocks are CRLF text with dots unstuffed, already free of bare CR, bare LF and NUL.

    ``write`` seals and may write to disk, but never waits. ``discard`` forgets everything; it may be called at any
    time and twice.
    """

    def write(self, block: bytes) -> None: ...

    def discard(self) -> None: ...


class Credentials(Protocol):
    """Checks logins. Slow hashes run off the loop; attempts are limited per account and per peer."""

    @property
    def offers_scram(self) -> bool:
        """Whether every account can log in by SCRAM-SHA-256. Clients take the strongest mechanism they are offered:
        one that only some accounts can pass would lock the others out."""
        ...

    async def plain(self, peer: Peer, username: str, password: str) -> str | None:
        """The account (an address key) or None. Takes equally long for an unknown account."""
        ...

    async def scram(self, peer: Peer, username: str) -> ScramSecret | None:
        """The stored SCRAM-SHA-256 verifier. For an unknown account a made-up one, the same each time."""
        ...

    async def begin(self, peer: Peer, username: str) -> bool:
        """Count an attempt before it is looked at, so that many at once can't pass the limit together. False when
        the account or the peer has used up its attempts for now (answer 454 4.7.0)."""
        ...

    async def succeeded(self, peer: Peer, username: str) -> None:
        """The attempt was no failure: it doesn't count."""
        ...


class ScramSecret(Protocol):
    """RFC 5802 §3: what the server keeps of a password. ``account`` is "" for a made-up secret."""

    @property
    def account(self) -> str: ...

    @property
    def salt(self) -> bytes: ...

    @property
    def iterations(self) -> int: ...

    @property
    def stored_key(self) -> bytes: ...

    @property
    def server_key(self) -> bytes: ...


class Door(Protocol):
    """The decisions of one session's transactions. Every method may raise SmtpError; any other exception becomes
    451 4.3.0 with a reference. A call is finished even when the client leaves in the middle of it."""

    @property
    def credentials(self) -> Credentials: ...

    def connect(self, peer: Peer) -> Reply | None:
        """None lets the peer in; a reply (421, 554) greets it with that and closes."""
        ...

    def disconnect(self, peer: Peer) -> None:
        """The session that ``connect`` let in is over."""
        ...

    async def mail(self, peer: Peer, envelope: Envelope) -> Transaction:
        """Start a transaction, or raise SmtpError to refuse the sender."""
        ...


class Transaction(Protocol):
    """One message on its way in. Ends with ``commit`` or ``abandon``, exactly once."""

    async def recipient(self, recipient: Recipient) -> None:
        """Accept this recipient, or raise SmtpError."""
        ...

    def receive(self, envelope: Envelope) -> Receiving:
        """DATA or the first BDAT has come: where the body goes. ``envelope`` has all accepted recipients."""
        ...

    async def commit(self, receiving: Receiving) -> Reply:
        """Judge, make durable, answer. 250 only after the commit. Shielded from the client's disconnect."""
        ...

    def abandon(self) -> None:
        """RSET, a new EHLO, a dropped connection."""
        ...
