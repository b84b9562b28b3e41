"""One connection's octets: lines and blocks in, replies out, with a timer that asks for progress.

Replies are collected and leave together once all input at hand is used up (RFC 2920 §3.2). Nothing here parses SMTP.
Reading pauses while more is buffered than a command or block needs, so a slow consumer slows its peer.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from relayd.mail.reply import Reply
from relayd.smtp import replies

#: Reading pauses when this much is buffered.
HIGH_WATER: Final = 64 * 1024
#: What is worked on at a time: less than a core's own cache, so that it is copied once and touched warm.
BLOCK: Final = 64 * 1024
#: The longest line that is read at all: an AUTH response (RFC 4954 §4).
LINE_LIMIT: Final = 12_288
#: Octets per second. Data that comes in more slowly than this on the whole isn't progress: else one octet every few
#: minutes would hold a session for years.
_SLOWEST: Final = 500


class Transport(Protocol):
    """What the wire needs of a transport, plain or TLS."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Hangup(Exception):
    """Ends the session, after ``reply`` where there is one to give."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply = reply
        super().__init__()


class Wire:
    """The session's side of its connection. One task reads; the protocol's callbacks feed."""

    __slots__ = (
        "_buffer",
        "_deadline",
        "_ended",
        "_idle",
        "_in_block",
        "_loop",
        "_out",
        "_pace",
        "_reading_paused",
        "_timer",
        "_transport",
        "_waiter",
        "_writing_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: float) -> None:
        self._loop = loop
        self._idle = idle
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._transport: Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        #: When the data read since the last command would have come at the slowest pace.
        self._pace = loop.time()
        self._ended = False
        self._in_block = False
        self._reading_paused = False
        self._writing_paused = False

    # What the protocol's callbacks tell

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """Use this transport from now on: the first one, or the TLS one after a handshake."""
        self._transport = cast(Transport, transport)
        self._reading_paused = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= HIGH_WATER and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def end(self) -> None:
        """No more input will come: the peer closed its side, or the connection is gone."""
        self._ended = True
        self._wake()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    def interrupt(self, hangup: Hangup) -> None:
        """End the wait in progress, if any."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(hangup)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the session asks

    @property
    def pending(self) -> bool:
        """Whether input is at hand that nobody has read yet."""
        return bool(self._buffer)

    @property
    def ended(self) -> bool:
        return self._ended

    async def line(self) -> bytes:
        """The next line without its CRLF. A line that isn't clean ends the session (RFC 5321 §2.3.8)."""
        buffer, searched, deadline = self._buffer, 0, 0.0
        while (end := buffer.find(b"\n", searched)) < 0:
            searched = len(buffer)
            if searched > LINE_LIMIT:
                raise Hangup(replies.LINE_TOO_LONG)
            deadline = deadline or self._loop.time() + self._idle
            await self._more(deadline)
        line = bytes(buffer[: end - 1]) if end else b""
        if end == 0 or buffer[end - 1] != 13 or b"\r" in line or b"\0" in line:
            raise Hangup(replies.BROKEN_LINE)
        if end > LINE_LIMIT:
            raise Hangup(replies.LINE_TOO_LONG)
        del buffer[: end + 1]
        self._pace = self._loop.time()
        return line

    async def block(self, most: int | None = None) -> bytes:
        """What has come in since, at least one octet and at most ``most`` or BLOCK. Every block is progress, at the
        slowest pace and above.

        Whoever has sent a lot at once waits for the others' turn between two blocks.
        """
        buffer = self._buffer
        if not buffer:
            await self._more(min(self._loop.time(), self._pace) + self._idle)
        elif self._in_block:
            await asyncio.sleep(0)
        length = min(len(buffer), BLOCK if most is None else most, BLOCK)
        block = bytes(memoryview(buffer)[:length])
        del buffer[:length]
        self._pace += length / _SLOWEST
        self._in_block = bool(buffer)
        if not buffer:
            self.resume_reading()
        return block

    def unread(self, octets: bytes) -> None:
        """Give back what was read beyond the end of the data."""
        self._buffer[:0] = octets

    def resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def write(self, octets: bytes) -> None:
        """Collect a reply; it leaves with :meth:`flush` or before the next wait for input."""
        self._out.append(octets)

    def flush(self) -> None:
        if self._out:
            octets = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            self._out.clear()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(octets)

    # Waiting

    async def _more(self, deadline: float) -> None:
        """Let the replies go and wait until the buffer has grown."""
        size = len(self._buffer)
        self.flush()
        while self._writing_paused and not self._ended:
            await self._wait(deadline)
        while len(self._buffer) == size:
            if self._ended:
                raise Hangup
            self.resume_reading()
            await self._wait(deadline)

    async def _wait(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        # One timer outlives many waits: arming a new one for each would cost more than the wait itself.
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline > self._loop.time():
            self._timer = self._loop.call_at(self._deadline, self._expire)
        else:
            self.interrupt(Hangup(replies.IDLE))
