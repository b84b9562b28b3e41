"""The SMTP client's wire: aiosmtplib's protocol, with counted replies and bounded waits.

aiosmtplib pairs one reply with one command. PIPELINING (RFC 2920) and LMTP's replies after the dot (RFC 2033 §4.2)
need more, so here replies are queued in their order and every one that we asked for is counted; one that nobody asked
for ends the connection, since it can only be an attack or a peer that has lost count.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from typing import Final, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

#: Octets of one reply, continuation lines included. A real EHLO takes a few KiB.
MAX_REPLY: Final = 32 * 1024

#: Characters of a reply that are kept as an explanation.
_LONGEST_TEXT: Final = 500

_REPLY_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


_NUMBER: Final = re.compile(r"[0-9]{1,20}")


def reply_text(response: aiosmtplib.SMTPResponse) -> str:
    """A reply as one printable line. It gets into journals, reports and terminals, and a peer may say anything."""
    return one_line(f"{response.code} {response.message}".replace("\n", " / "))


def one_line(text: str) -> str:
    """The beginning of ``text``, printable."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text[:_LONGEST_TEXT].rstrip()


def announced(text: str) -> int:
    """A number that the peer announces with an extension (RFC 1870 §3, RFC 9422 §4); 0 when it isn't one."""
    return int(text) if _NUMBER.fullmatch(text) else 0


class PeerBroken(aiosmtplib.SMTPServerDisconnected):
    """The peer said what isn't SMTP: malformed, endless or unasked-for."""


class Wire(SMTPProtocol):
    """One connection's octets. Reads are by :meth:`reply`, one at a time, in the order of the commands."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._replies: deque[aiosmtplib.SMTPResponse] = deque()
        self._lines: list[bytes] = []
        self._size = 0
        self._expected = 1  # the greeting
        self._waiter: asyncio.Future[None] | None = None
        self._broken: Exception | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is outstanding and nothing came unasked: only then may the connection be used again."""
        return self._expected == 0 and self._broken is None and not self._buffer and self.is_connected

    def early_reply(self) -> bool:
        """Whether a reply has come for which nobody waited yet, or the connection is gone."""
        return bool(self._replies) or self._broken is not None

    # what the transport tells

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._size += end + 1
            if self._size > MAX_REPLY or not self._line(line):
                self._fail(PeerBroken("The peer's reply is malformed or endless"))
                return
        if self._size + len(self._buffer) > MAX_REPLY:
            self._fail(PeerBroken("The peer's reply is endless"))

    def _line(self, line: bytes) -> bool:
        match = _REPLY_LINE.fullmatch(line)
        if match is None:
            return False
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return True
        text = b"\n".join(self._lines).decode("utf-8", "replace")
        self._lines.clear()
        self._size = 0
        if len(self._replies) >= self._expected:
            return False
        self._replies.append(aiosmtplib.SMTPResponse(int(match[1]), text))
        self._wake()
        return True

    def eof_received(self) -> bool:
        self._fail(aiosmtplib.SMTPServerDisconnected("The peer closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(aiosmtplib.SMTPServerDisconnected("The connection was lost"))
        super().connection_lost(exc)

    def _fail(self, error: Exception) -> None:
        if self._broken is None:
            self._broken = error
        self.abort()
        self._wake()
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)

    def abort(self) -> None:
        """Drop the connection; what is still buffered isn't sent."""
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]  # uvloop's transports derive from none of asyncio's

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # what we do

    def send(self, data: bytes, replies: int) -> None:
        """Write ``data``, which makes the peer send this many replies."""
        if self._broken is not None:
            raise self._broken
        self._expected += replies
        self.write(data)

    def expect(self, replies: int) -> None:
        """More replies are due, though nothing is written for them yet."""
        self._expected += replies

    async def reply(self, patience: float) -> aiosmtplib.SMTPResponse:
        """The next reply in order. Replies that came before a loss are still handed out."""
        if not self._replies:
            await self._wait(patience)
        self._expected -= 1
        return self._replies.popleft()

    async def _wait(self, patience: float) -> None:
        timer = self._loop.call_later(patience, self._fail, aiosmtplib.SMTPReadTimeoutError("No reply in time"))
        try:
            while not self._replies:
                if self._broken is not None:
                    raise self._broken
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def drain(self, patience: float) -> None:
        """Wait until the peer takes more. Time counts per block, so that slow progress is progress (RFC 5321
        §4.5.3.2.5)."""
        if self._broken is not None:
            raise self._broken
        if not self._paused:
            return
        timer = self._loop.call_later(patience, self._fail, aiosmtplib.SMTPReadTimeoutError("The peer stopped reading"))
        try:
            await self._drain_helper()
        except ConnectionError as error:
            raise self._broken or aiosmtplib.SMTPServerDisconnected("The connection was lost") from error
        finally:
            timer.cancel()
        if self._broken is not None:
            raise self._broken

    # what aiosmtplib.SMTP calls

    async def read_response(self, timeout: float | None = None) -> aiosmtplib.SMTPResponse:  # noqa: ASYNC109
        return await self.reply(timeout or 300.0)

    async def execute_command(  # its shape is aiosmtplib's
        self,
        *args: bytes,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> aiosmtplib.SMTPResponse:
        self._quit_sent = args == (b"QUIT",)
        self.send(b" ".join(args) + b"\r\n", 1)
        return await self.reply(timeout or 300.0)

    async def start_tls(
        self,
        tls_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> aiosmtplib.SMTPResponse:
        """STARTTLS. Octets that came with its reply were injected before the encryption: that is a failure, where
        forgetting them would do (RFC 3207 §4.2, CVE-2021-38371)."""
        response = await self.execute_command(b"STARTTLS", timeout=timeout)
        if response.code != 220:
            raise aiosmtplib.SMTPResponseException(response.code, response.message)
        if not self.idle or self.transport is None:
            raise PeerBroken("The peer sent more than its reply to STARTTLS")
        self.transport = await self._loop.start_tls(
            cast(asyncio.WriteTransport, self.transport),
            self,
            tls_context,
            server_side=False,
            server_hostname=server_hostname,
            ssl_handshake_timeout=timeout,
        )
        self._over_ssl = True
        return response
