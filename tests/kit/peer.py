"""A scripted, faulty mail server: it answers and misbehaves as it is told to, and keeps what it got."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import trustme

#: Instead of a reply: close the connection, say nothing for ever, talk without end, in lines or in one, in single
#: octets without coming to an end, or not SMTP at all.
DROP = "<drop>"
HANG = "<hang>"
ENDLESS = "<endless>"
OVERLONG = "<overlong>"
DRIBBLE = "<dribble>"
GARBAGE = "<garbage>"


@dataclass
class Script:
    """What the peer says. ``replies`` maps a verb (GREETING, EHLO, STARTTLS, MAIL, RCPT, DATA, DOT, RSET, QUIT) to its
    reply or a list of replies, used one after the other (the last one stays). ``recipients`` and ``dots`` map an
    address to its reply to RCPT, and to LMTP's reply after the dot."""

    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
    starttls: bool = True
    replies: dict[str, str | list[str]] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)
    dots: dict[str, str] = field(default_factory=dict)
    inject_after_starttls: bytes = b""
    refuse_in_data: str = ""
    stall_in_data: bool = False
    octet_by_octet: bool = False
    lmtp: bool = False


@dataclass
class Received:
    """One message that the peer acknowledged, or at least got as a whole. ``raw`` is it as it came, end included."""

    mail: str
    rcpts: list[str]
    content: bytes
    tls: str
    raw: bytes = field(default=b"", repr=False)


_DEFAULTS = {
    "GREETING": "220 peer.example ESMTP",
    "STARTTLS": "220 2.0.0 go ahead",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    "DOT": "250 2.0.0 taken",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class Peer:
    """``async with Peer(script, port=..., tls=server_context(ca)) as peer``."""

    def __init__(
        self, script: Script | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None, path: str = ""
    ) -> None:
        self.script = script or Script()
        self.port = port
        self.received: list[Received] = []
        self.commands: list[str] = []
        self.connections = 0
        self.tls = tls
        self._path = path
        self._used: dict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Peer:
        if self._path:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def wait_for(self, messages: int) -> None:
        """Until this many messages have come."""
        while len(self.received) < messages:
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, _Dropped, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def next_reply(self, verb: str) -> str:
        reply = self.script.replies.get(verb, _DEFAULTS.get(verb, "500 5.5.2 what?"))
        if isinstance(reply, str):
            return reply
        index = min(self._used[verb], len(reply) - 1)
        self._used[verb] += 1
        return reply[index]

    def got(self, message: Received) -> None:
        self.received.append(message)
        self._changed.set()


class _Dropped(Exception):
    pass


class _Session:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = peer
        self.script = peer.script
        self.reader = reader
        self.writer = writer
        self.mail = ""
        self.rcpts: list[str] = []
        self.secure = ""

    async def run(self) -> None:
        await self.say(self.peer.next_reply("GREETING"))
        while line := await self.reader.readline():
            command = line.decode().rstrip("\r\n")
            self.peer.commands.append(command)
            verb = command.split(" ")[0].upper()
            await getattr(self, f"do_{verb}", self.do_other)(command, verb)

    async def say(self, reply: str) -> None:
        if reply == DROP:
            raise _Dropped
        if reply == HANG:
            await asyncio.Event().wait()
        if reply == GARBAGE:
            reply = "\x00\x01 what is this"
        if reply == OVERLONG:
            reply = "250 " + "x" * 1_000_000
        if reply == DRIBBLE:
            await self._dribble(itertools.chain(b"250 ", itertools.repeat(ord("."))), 0.01)
        if self.script.octet_by_octet:
            await self._dribble(reply.replace("\n", "\r\n").encode() + b"\r\n", 0)
            return
        while reply == ENDLESS:
            self.writer.write(b"250-and so on\r\n" * 100)
            await self.writer.drain()
        self.writer.write(reply.replace("\n", "\r\n").encode() + b"\r\n")
        await self.writer.drain()

    async def _dribble(self, octets: Iterable[int], pause: float) -> None:
        for octet in octets:
            self.writer.write(bytes([octet]))
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def do_EHLO(self, command: str, verb: str) -> None:
        if "EHLO" in self.script.replies:
            await self.say(self.peer.next_reply("EHLO"))
            return
        words = ["peer.example", *self.script.extensions]
        if self.script.starttls and not self.secure:
            words.append("STARTTLS")
        await self.say("\n".join(f"250{' ' if i == len(words) - 1 else '-'}{word}" for i, word in enumerate(words)))

    do_LHLO = do_EHLO

    async def do_HELO(self, command: str, verb: str) -> None:
        await self.say("250 peer.example")

    async def do_STARTTLS(self, command: str, verb: str) -> None:
        reply = self.peer.next_reply("STARTTLS")
        if not reply.startswith("220") or self.peer.tls is None:
            await self.say(reply)
            return
        self.writer.write(reply.encode() + b"\r\n" + self.script.inject_after_starttls)
        await self.writer.start_tls(self.peer.tls)
        self.secure = self.writer.get_extra_info("ssl_object").version()

    async def do_MAIL(self, command: str, verb: str) -> None:
        reply = self.peer.next_reply("MAIL")
        self.mail, self.rcpts = command if reply.startswith("2") else "", []
        await self.say(reply)

    async def do_RCPT(self, command: str, verb: str) -> None:
        address = command.partition("<")[2].partition(">")[0]
        reply = self.script.recipients.get(address) or self.peer.next_reply("RCPT")
        if self.mail and reply.startswith("2"):
            self.rcpts.append(command)
        await self.say(reply)

    async def do_DATA(self, command: str, verb: str) -> None:
        reply = self.peer.next_reply("DATA")
        await self.say(reply)
        if not reply.startswith("354"):
            return
        if self.script.refuse_in_data:
            await self.reader.readexactly(1)
            await self.say(self.script.refuse_in_data)
        if self.script.stall_in_data:
            self.writer.transport.pause_reading()
            await asyncio.Event().wait()
        content, raw = await self._content()
        if self.rcpts:
            self.peer.got(Received(self.mail, self.rcpts, content, self.secure, raw))
        if not self.script.lmtp:
            await self.say(self.peer.next_reply("DOT"))
            return
        for rcpt in self.rcpts:
            address = rcpt.partition("<")[2].partition(">")[0]
            await self.say(self.script.dots.get(address) or self.peer.next_reply("DOT"))

    async def _content(self) -> tuple[bytes, bytes]:
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line)
        content = b"".join(line[1:] if line.startswith(b".") else line for line in lines)
        return content, b"".join([*lines, line])

    async def do_other(self, command: str, verb: str) -> None:
        await self.say(self.peer.next_reply(verb))
        if verb == "QUIT":
            raise _Dropped


def server_context(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's context with a certificate of ``ca`` for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or ("peer.example",))).configure_cert(context)
    return context


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that answers no SYN: its backlog is full, as behind a firewall that drops."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(2):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
