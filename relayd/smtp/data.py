"""A message's content on its way in: DATA and BDAT, in blocks as they come off the socket, never per line."""

from __future__ import annotations

from typing import Final

from relayd.mail.reply import Reply
from relayd.settings.models import SmtpLimits
from relayd.smtp import replies
from relayd.smtp.door import Receiving
from relayd.smtp.failure import reply_to
from relayd.smtp.wire import Hangup, Wire

_END: Final = b"\r\n.\r\n"
_HEAD_END: Final = b"\r\n\r\n"
#: A peer that sends this many times the permitted size isn't read to its end any more.
_PATIENCE: Final = 4


class DotReader:
    """Finds the end of DATA and takes the transparency dots away (RFC 5321 §4.5.2), whatever the blocks' borders.

    Only CRLF.CRLF ends the data (RFC 5321 §4.1.1.4). What might be the beginning of it is held back until the next
    block. The line before the first one counts as ended, hence the CRLF that is held from the start.
    """

    __slots__ = ("_first", "_held", "ended", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"
        self._first = True
        self.ended = False
        self.rest = b""

    def feed(self, block: bytes) -> bytes:
        """The content that is certain now. After the end, ``rest`` holds what came behind it."""
        octets = self._held + block
        dot = octets.find(b"\r\n.")
        end = -1 if dot < 0 else octets.find(_END, dot)
        if end >= 0:
            self.ended = True
            self.rest = octets[end + 5 :]
            cut = end + 2
        else:
            cut = len(octets) - _overlap(octets)
            self._held = octets[cut:]
        start = 0
        if self._first and cut >= 2:
            self._first = False
            start = 2
            if octets[2:3] == b"." and cut > 2:
                start = 3
        content = octets[start:cut]
        return content if dot < 0 else content.replace(b"\r\n.", b"\r\n")


def _overlap(octets: bytes) -> int:
    """How many octets at the end may be the beginning of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if octets.endswith(_END[:length]):
            return length
    return 0


class Content:
    """Checks what arrives and passes it on. The first thing wrong becomes ``refusal``; the rest is then only counted,
    so that the session stays in step with its peer."""

    __slots__ = ("_head_tail", "_limits", "receiving", "refusal", "size")

    def __init__(self, receiving: Receiving, limits: SmtpLimits) -> None:
        self.receiving = receiving
        self._limits = limits
        #: The last octets seen of the header section; None when it has ended.
        self._head_tail: bytes | None = b"\r\n"
        self.refusal: Reply | None = None
        self.size = 0

    def write(self, block: bytes) -> None:
        """Whole CRLF pairs only: a block never ends between CR and LF."""
        self.size += len(block)
        if self.refusal is None:
            self.refusal = self._problem(block)
            if self.refusal is None:
                self._pass_on(block)
            else:
                self.receiving.discard()
        if self.refusal is not None and self.size > _PATIENCE * self._limits.message_size:
            raise Hangup(replies.TOO_MUCH_DATA)

    def _pass_on(self, block: bytes) -> None:
        try:
            self.receiving.write(block)
        except Exception as error:
            self.refusal = reply_to(error, "content")
            self.receiving.discard()

    def _problem(self, block: bytes) -> Reply | None:
        if self.size > self._limits.message_size:
            return replies.too_large(self._limits.message_size)
        if not clean(block):
            return replies.BARE_LINE_END
        return None if self._head_tail is None else self._head_problem(self._head_tail + block, block)

    def _head_problem(self, window: bytes, block: bytes) -> Reply | None:
        end = window.find(_HEAD_END)
        head_size = self.size - len(block) + (len(block) if end < 0 else end)
        self._head_tail = window[-3:] if end < 0 else None
        return replies.HEADER_TOO_LARGE if head_size > self._limits.header_size else None


def clean(block: bytes) -> bool:
    """Whether every CR is followed by an LF, every LF preceded by a CR, and there is no NUL (RFC 5321 §2.3.8).

    Taking the pairs out and looking for what is left costs a third of counting octets, and less than any pattern.
    """
    rest = b"".join(block.split(b"\r\n"))
    return b"\r" not in rest and b"\n" not in rest and b"\0" not in rest


async def read_data(wire: Wire, content: Content) -> None:
    """Read DATA up to and including its final dot."""
    dots = DotReader()
    while not dots.ended:
        block = dots.feed(await wire.block())
        if block:
            content.write(block)
    wire.unread(dots.rest)


class ChunkReader:
    """Reads BDAT's chunks (RFC 3030 §2). A chunk may end anywhere, even between CR and LF."""

    __slots__ = ("_held", "_last", "content")

    def __init__(self, content: Content) -> None:
        self.content = content
        self._held = b""
        self._last = b""

    async def read(self, wire: Wire, length: int) -> None:
        while length:
            block = await wire.block(length)
            length -= len(block)
            octets = self._held + block
            cut = len(octets) - octets.endswith(b"\r")
            self._held = octets[cut:]
            self._write(octets[:cut])

    def finish(self) -> None:
        """BDAT LAST: what is held back is bare. Content without a last CRLF gets one, so that it is whole lines."""
        self._write(self._held)
        if self.content.size and self._last != b"\r\n" and self.content.refusal is None:
            self.content.write(b"\r\n")

    def _write(self, block: bytes) -> None:
        if block:
            self._last = (self._last + block)[-2:] if len(block) < 2 else block[-2:]
            self.content.write(block)


async def skip(wire: Wire, length: int) -> None:
    """Read a chunk that nobody wants, to stay in step."""
    while length:
        length -= len(await wire.block(length))
