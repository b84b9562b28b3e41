"""A door with a script, and an SMTP server in front of it, for tests of the SMTP side alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from relayd.directory.verifiers import derive
from relayd.errors import SmtpError
from relayd.mail.envelope import Envelope, Peer, Recipient
from relayd.mail.reply import Reply
from relayd.settings.models import ListenerSettings, SmtpLimits
from relayd.smtp.door import ScramSecret
from relayd.smtp.listener import ListenerServer, listen
from relayd.smtp.service import Service

HOSTNAME = "mx.example.org"
USERNAME, PASSWORD = "jan@example.org", "correct horse"


@dataclass
class FakeCredentials:
    """One account, known to every mechanism."""

    offers_scram: bool = True
    failures: int = 0
    most: int = 10

    async def plain(self, peer: Peer, username: str, password: str) -> str | None:
        return username if (username, password) == (USERNAME, PASSWORD) else None

    async def scram(self, peer: Peer, username: str) -> ScramSecret | None:
        return derive(PASSWORD, b"salt", 4096, username if username == USERNAME else "")

    async def begin(self, peer: Peer, username: str) -> bool:
        if self.failures >= self.most:
            return False
        self.failures += 1
        return True

    async def succeeded(self, peer: Peer, username: str) -> None:
        self.failures -= 1


class FakeReceiving:
    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.discarded = 0

    def write(self, block: bytes) -> None:
        self.blocks.append(block)

    def discard(self) -> None:
        self.discarded += 1


@dataclass
class Taken:
    """What became of one transaction."""

    peer: Peer
    envelope: Envelope
    body: bytes = b""
    committed: int = 0
    abandoned: int = 0
    receiving: FakeReceiving | None = None


async def _nothing() -> None:
    return None


@dataclass
class FakeDoor:
    """Refuses recipients whose local part begins with "no" (550) or "later" (450); keeps everything else.

    ``hold`` is awaited within every commit; ``failing`` names calls that raise what is no relayd error.
    """

    credentials: FakeCredentials = field(default_factory=FakeCredentials)
    greeting: Reply | None = None
    failing: set[str] = field(default_factory=set)
    hold: Callable[[], object] = _nothing
    taken: list[Taken] = field(default_factory=list)
    present: int = 0
    arrived: int = 0

    def connect(self, peer: Peer) -> Reply | None:
        self._fail("connect")
        if self.greeting is None:
            self.present += 1
            self.arrived += 1
        return self.greeting

    def disconnect(self, peer: Peer) -> None:
        self.present -= 1

    async def mail(self, peer: Peer, envelope: Envelope) -> FakeTransaction:
        self._fail("mail")
        if str(envelope.sender).startswith("no"):
            raise SmtpError(Reply(550, "5.7.1", "You may not use this sender"))
        taken = Taken(peer, envelope)
        self.taken.append(taken)
        return FakeTransaction(self, taken)

    def _fail(self, call: str) -> None:
        if call in self.failing:
            raise ZeroDivisionError(f"secret of {call}")

    @property
    def messages(self) -> list[Taken]:
        return [taken for taken in self.taken if taken.committed]


class FakeTransaction:
    def __init__(self, door: FakeDoor, taken: Taken) -> None:
        self.door = door
        self.taken = taken

    async def recipient(self, recipient: Recipient) -> None:
        self.door._fail("recipient")
        if recipient.address.local.startswith("no"):
            raise SmtpError(Reply(550, "5.1.1", "No such user"))
        if recipient.address.local.startswith("later"):
            raise SmtpError(Reply(450, "4.2.0", "Try later"))

    def receive(self, envelope: Envelope) -> FakeReceiving:
        self.door._fail("receive")
        self.taken.envelope = envelope
        self.taken.receiving = FakeReceiving()
        return self.taken.receiving

    async def commit(self, receiving: FakeReceiving) -> Reply:
        await self.door.hold()  # type: ignore[misc]
        self.door._fail("commit")
        self.taken.body = b"".join(receiving.blocks)
        self.taken.committed += 1
        return Reply(250, "2.0.0", "Accepted as 1")

    def abandon(self) -> None:
        self.taken.abandoned += 1


def make_limits(**changes: object) -> SmtpLimits:
    return SmtpLimits.model_validate({"idle": timedelta(seconds=20), **changes})


@dataclass
class Server:
    door: FakeDoor
    listener: ListenerServer
    port: int


@contextlib.asynccontextmanager
async def running(
    door: FakeDoor | None = None,
    *,
    context: ssl.SSLContext | None = None,
    limits: SmtpLimits | None = None,
    **settings: object,
) -> AsyncIterator[Server]:
    """A server on a free port of 127.0.0.1; ``settings`` are ListenerSettings."""
    door = door or FakeDoor()
    sock = socket.create_server(("127.0.0.1", 0))
    listener_settings = ListenerSettings.model_validate({"address": "127.0.0.1:0", "kind": "relay", **settings})
    tls = (lambda: context) if context else None
    service = Service(HOSTNAME, listener_settings, limits or make_limits(), lambda: door, tls)
    listener = listen([sock], service)
    try:
        yield Server(door, listener, sock.getsockname()[1])
    finally:
        async with asyncio.timeout(10):
            await listener.close()
        sock.close()
