"""One SMTP session (RFC 5321): reads commands, runs their verbs, answers.

Of aiosmtpd's ``SMTP`` the session keeps the place in asyncio and the naming of verbs (``smtp_MAIL``). Its loop, its
verbs and its reading of data are replaced: they log arguments, take DATA line by line, and cancel a handler when its
client leaves. Here no disconnect cancels anything: it ends the next wait for input, so a commit in progress finishes.

A verb lives in a file of its own in ``verbs/``. It returns the reply, or None when it has written it, or raises
SmtpError; Hangup ends the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, ClassVar, Final, cast

import structlog
from aiosmtpd.smtp import SMTP
from msgspec.structs import replace

from relayd.mail.envelope import Peer
from relayd.mail.reply import Reply
from relayd.smtp import handshake, replies, verbs
from relayd.smtp.door import Door
from relayd.smtp.failure import reply_to
from relayd.smtp.incoming import Incoming
from relayd.smtp.service import Service
from relayd.smtp.wire import LINE_LIMIT, Hangup, Wire

#: RFC 5321 §4.5.3.1.4, with its CRLF.
_COMMAND_LIMIT: Final = 512
#: RFC 3461 §5.1 asks for 1036 and more; SIZE, BODY, AUTH and SMTPUTF8 come on top.
_LONGER: Final = {"MAIL": 2048, "RCPT": 2048, "AUTH": LINE_LIMIT}
#: A web page can make a browser send these with SMTP commands in the body.
_HTTP: Final = frozenset({"GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "TRACE", "DELETE", "PATCH"})
#: A peer that doesn't take what was sent to it is cut off this long after the end.
_LINGER: Final = 10.0

log = structlog.get_logger("relayd.smtp")

#: The same few replies go out all the time.
_encoded = lru_cache(256)(Reply.encode)

Command = Callable[["Session", str], Coroutine[Any, Any, Reply | None]]


class Session(SMTP):
    """One connection, from its greeting to its end. The door has let the peer in already."""

    _commands: ClassVar[dict[str, Command]]

    def __init__(
        self,
        service: Service,
        door: Door,
        peer: Peer,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Session], None],
    ) -> None:
        # The base's own __init__ inspects the whole class for every connection; nothing of what it finds is used.
        self.service = service
        self.door = door
        self.peer = peer
        self.wire = Wire(loop, service.idle)
        self.incoming: Incoming | None = None
        self.loop = loop
        self.transport = None
        self.task: asyncio.Task[None] | None = None
        self.login_failures = 0
        self._ended = ended
        self._errors = 0
        self._count = 0
        self._draining = False
        self._lost = False
        self._between_commands = False
        self._cut: asyncio.TimerHandle | None = None

    smtp_AUTH = verbs.auth.command
    smtp_BDAT = verbs.bdat.command
    smtp_DATA = verbs.data.command
    smtp_EHLO = verbs.ehlo.command
    smtp_EXPN = verbs.vrfy.expand
    smtp_HELO = verbs.ehlo.plain
    smtp_HELP = verbs.help.command
    smtp_MAIL = verbs.mail.command
    smtp_NOOP = verbs.noop.command
    smtp_PROXY = verbs.proxy.command
    smtp_QUIT = verbs.quit.command
    smtp_RCPT = verbs.rcpt.command
    smtp_RSET = verbs.rset.command
    smtp_STARTTLS = verbs.starttls.command
    smtp_VRFY = verbs.vrfy.command

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.wire.attach(transport)
        self.peer = replace(self.peer, tls=handshake.facts_of(transport))
        self.task = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        self.wire.feed(data)

    def eof_received(self) -> bool:
        """The peer has closed its side. It may still wait for replies; over TLS nothing can follow."""
        self.wire.end()
        return self.peer.tls is None

    def connection_lost(self, error: Exception | None) -> None:
        self.wire.end()
        self.wire.resume_writing()
        self._lost = True
        if self._cut is not None:
            self._cut.cancel()

    def pause_writing(self) -> None:
        self.wire.pause_writing()

    def resume_writing(self) -> None:
        self.wire.resume_writing()

    def __del__(self) -> None:
        """The base's expects attributes that only its own __init__ makes."""

    # The listener's side

    def drain(self) -> None:
        """End this session with 421 once it is between transactions."""
        self._draining = True
        if self._between_commands and self.incoming is None:
            self.wire.interrupt(Hangup(replies.SHUTTING_DOWN))

    def abort(self) -> None:
        """Cut the connection. What the door is doing is finished all the same."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
        self.wire.end()

    # The verbs' side

    def reset(self) -> None:
        """Forget the transaction, if any (RFC 5321 §4.1.1.5)."""
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            incoming.abandon()

    def forgive(self, errors: int | None = None) -> None:
        """Good behaviour pays off errors: a recipient one, a message all, and its commands."""
        if errors is None:
            self._errors = self._count = 0
        else:
            self._errors = max(0, self._errors - errors)

    def in_step(self) -> None:
        """Commands that must be the last of a group (RFC 2920 §3.1) allow no input before their reply."""
        if self.wire.pending:
            log.info("out_of_step", peer=str(self.peer.address))
            raise Hangup(replies.OUT_OF_STEP)

    # The loop

    async def _handle_client(self) -> None:
        try:
            self.wire.write(Reply(220, "", f"{self.service.hostname} ESMTP relayd").encode())
            while True:
                if self._draining and self.incoming is None:
                    raise Hangup(replies.SHUTTING_DOWN)
                self._between_commands = True
                line = await self.wire.line()
                self._between_commands = False
                self._answer(await self._execute(line))
        except Hangup as hangup:
            if hangup.reply is not None:
                self.wire.write(hangup.reply.encode())
        except Exception as error:
            self.wire.write(reply_to(error, "session").encode())
        finally:
            await self._finish()

    async def _execute(self, line: bytes) -> Reply | None:
        self._count += 1
        if self._count > self.service.limits.commands:
            return replies.TOO_MANY_COMMANDS
        try:
            verb, _, argument = line.decode().partition(" ")
        except UnicodeDecodeError:
            return replies.UNRECOGNISED
        verb = verb.upper() if verb.isascii() else ""  # upper() makes an S of \u017f, and nobody else does
        command = self._commands.get(verb)
        if command is None:
            if verb in _HTTP:
                raise Hangup
            return replies.UNRECOGNISED
        if len(line) + 2 > _LONGER.get(verb, _COMMAND_LIMIT):
            return replies.LINE_TOO_LONG
        try:
            return await command(self, argument.strip(" \t"))
        except Hangup:
            raise
        except Exception as error:
            return reply_to(error, verb)

    def _answer(self, reply: Reply | None) -> None:
        if reply is None:
            return
        self.wire.write(_encoded(reply))
        if reply.code == 421:
            raise Hangup
        if reply.code < 500:
            return  # 4yz isn't the peer's mistake: a list of 1,100 recipients gets 100 times 452
        self._errors += 1
        if self._errors > self.service.limits.errors:
            raise Hangup(replies.TOO_MANY_ERRORS)

    async def _finish(self) -> None:
        try:
            self.reset()
        except Exception as error:
            reply_to(error, "end")
        self.wire.flush()
        self.wire.close()
        if self.transport is not None and not self._lost:
            self.transport.close()
            self._cut = self.loop.call_later(_LINGER, cast(asyncio.Transport, self.transport).abort)
        try:
            self.door.disconnect(self.peer)
        except Exception as error:
            reply_to(error, "disconnect")
        finally:
            self._ended(self)


Session._commands = {
    name.removeprefix("smtp_"): getattr(Session, name) for name in dir(Session) if name.startswith("smtp_")
}
