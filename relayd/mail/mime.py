"""The MIME structure of a message (RFC 2045, RFC 2046), found while its content streams by.

The scanner holds no content: only the header it is reading, the boundaries that are open, and a tail in which a
boundary might have begun. It looks for exactly the boundaries that are open, so large bodies pass at the speed of
``bytes.find``. Where a structure is broken it takes the reading that shows most parts, and names the defect:

========================  =============================================================================
missing-end-boundary      a multipart that its parent or the message ended
part-after-end-boundary   a part behind the end of its multipart, which some programs show all the same
no-boundary               a multipart without boundary parameter; it is listed as a leaf
encoded-container         a multipart or message in base64 or quoted-printable (RFC 2045 §6.4); a leaf
too-deep, too-many-parts  beyond the limits: what follows is not listed (too-many-parts is at the root, and also for
                          names of more than 256 KiB together)
header-too-long           only the first 64 KiB of the part's header were read (1 MiB of the message's)
near-boundary             a line that begins with the boundary and goes on: some programs take it for one
                          (RFC 2046 §5.1.1 lets them), and what follows for a part
file-in-text              a uuencoded or yEnc file in plain text: see relayd/mail/text_files.py
broken-header             a line in the header that is no field; broken-content-type; unknown-encoding;
                          repeated:FIELD; repeated-boundary
ambiguous-type            what could be the type of a multipart or message to some program, and to us isn't
========================  =============================================================================
"""

from __future__ import annotations

import re
from typing import Final

from relayd.mail.decode import PartDecoder, decoder
from relayd.mail.meta import Part
from relayd.mail.mime_header import PartHeader, is_header, read_part_header
from relayd.mail.text_files import TextFiles

__all__ = ["MOST_DEPTH", "MOST_PARTS", "MimeScanner", "PartDecoder", "decoder"]

MOST_DEPTH: Final = 50
#: Parts and names are held until the message is whole, and 1,000 sessions may do so at once.
MOST_PARTS: Final = 2_000
MOST_PART_HEADER: Final = 64 * 1024
MOST_HEAD: Final = 1024 * 1024
#: Characters of all names together.
MOST_NAMES: Final = 256 * 1024

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_MOST_LINE = 1024
#: Lines that begin like an open boundary, real ones included; a message with more is an attack on our time.
_MOST_MARKS = 100_000
_MESSAGE_TYPES = frozenset({"message/rfc822", "message/global"})
_IDENTITY = frozenset({"7bit", "8bit", "binary"})


class _Open:
    """A part whose end may not be known yet."""

    __slots__ = ("boundary", "children", "closed", "defects", "end", "header", "offset", "path")

    def __init__(self, path: str, header: PartHeader, offset: int) -> None:
        self.path = path
        self.header = header
        self.offset = offset
        self.end = offset
        self.boundary = b""
        self.children = 0
        self.closed = False
        self.defects = header.defects

    def part(self) -> Part:
        header = self.header
        return Part(
            self.path, header.type, self.offset, max(0, self.end - self.offset), header.encoding, header.charset,
            header.disposition, tuple(header.names), header.content_id, tuple(self.defects),
        )  # fmt: skip


class MimeScanner:
    """Feed it the whole content, header section included, in blocks of any size; then ``finish``.

    ``body_start`` is the offset of the first octet after the empty line, ``head_length`` the length of the header
    section without that line (see Body.head); both are None until it has come by.
    """

    def __init__(self) -> None:
        self.body_start: int | None = None
        self.head_length: int | None = None
        self._parts: list[_Open] = []
        self._stack: list[_Open] = []
        self._needles: tuple[bytes, ...] = ()
        self._found: dict[bytes, int] = {}
        # Offsets count within the content. One LF is put in front of it, so that its first line too follows a line end.
        self._rest = b"\n"
        self._base = -1
        self._position = -1
        self._total = 0
        self._marks = 0
        self._gave_up = False
        self._in_header = True
        self._late = False
        self._header_start = 0
        self._header_taken = 0
        self._header = bytearray(b"\n")
        self._names = 0
        self._text_files = TextFiles()

    def feed(self, block: bytes) -> None:
        self._total += len(block)
        self._text_files.feed(block)
        if self._in_header or self._needles:
            self._scan(self._rest + block if self._rest else block, final=False)

    def finish(self) -> tuple[Part, ...]:
        """All parts, each container before its content."""
        if self._in_header or self._needles:
            self._scan(self._rest, final=True)
        if self._in_header:
            self._header_ended_early(self._total)
        self._close(0, self._total)
        self._mark_text_files()
        return tuple(part.part() for part in self._parts)

    def _mark_text_files(self) -> None:
        self._text_files.feed(b"\n")
        if self._text_files.gave_up:
            self._parts[0].defects.append("file-in-text")
        for offset in self._text_files.found:
            for part in reversed(self._parts):
                if part.offset <= offset < part.end and not part.boundary:
                    if part.header.type == "text/plain" and "file-in-text" not in part.defects:
                        part.defects.append("file-in-text")
                    break

    def _scan(self, data: bytes, *, final: bool) -> None:
        self._found.clear()
        base = self._base
        position = self._position - base
        while True:
            mark = self._next_boundary(data, position) if self._needles else -1
            if self._in_header:
                blank = _EMPTY_LINE.search(data, position, mark + 1 if mark >= 0 else len(data))
                if blank:
                    self._take_header(data, blank.start() + 1)
                    self._header_ended(base + blank.end())
                    position = blank.end() - 1
                    continue
            if mark < 0:
                position = max(position, len(data) - (0 if final else self._tail()))
                break
            line_end = data.find(b"\n", mark + 1, mark + _MOST_LINE)
            if line_end < 0 and not final and len(data) < mark + _MOST_LINE:
                position = mark
                break
            line = data[mark + 1 : line_end if line_end >= 0 else mark + _MOST_LINE].rstrip(b" \t\r")
            self._marks += 1
            if self._marks > _MOST_MARKS:
                self._give_up()
                break
            index, closes = self._meaning(line)
            if index < 0:
                self._note_near(line)
                position = mark + 1
                continue
            before = base + mark - (data[mark - 1 : mark] == b"\r" if mark else 0)
            if self._in_header:
                self._take_header(data, mark + 1)
                self._header_ended_early(before)
            position = line_end if line_end >= 0 else len(data)
            self._boundary(index, closes, before, base + (line_end + 1 if line_end >= 0 else len(data)))
        if self._in_header:
            self._take_header(data, position)
        keep = max(0, position - 1) if self._in_header or self._needles else len(data)
        self._rest, self._base, self._position = data[keep:], base + keep, base + position

    def _tail(self) -> int:
        """How many octets at the end could be the beginning of an empty line or a boundary."""
        return max(map(len, self._needles), default=2)

    def _next_boundary(self, data: bytes, position: int) -> int:
        nearest = -1
        for needle in self._needles:
            at = self._found.get(needle, -2)
            if at == -2 or -1 < at < position:
                at = self._found[needle] = data.find(needle, position)
            if at >= 0 and (nearest < 0 or at < nearest):
                nearest = at
        return nearest

    def _meaning(self, line: bytes) -> tuple[int, bool]:
        """Whose boundary this line is, innermost first, and whether it ends the multipart; -1 for nobody's."""
        for suffix in (b"", b"--"):
            fallback = -1
            for index in range(len(self._stack) - 1, -1, -1):
                container = self._stack[index]
                if container.boundary and line == b"--" + container.boundary + suffix:
                    if not container.closed:
                        return index, bool(suffix)
                    fallback = index if fallback < 0 else fallback
            if fallback >= 0:
                return fallback, bool(suffix)
        return -1, False

    def _note_near(self, line: bytes) -> None:
        for container in reversed(self._stack):
            if container.boundary and line.startswith(b"--" + container.boundary):
                if "near-boundary" not in container.defects:
                    container.defects.append("near-boundary")
                return

    def _take_header(self, data: bytes, end: int) -> None:
        start = self._header_taken - self._base
        if end > start:
            room = (MOST_PART_HEADER if self._parts else MOST_HEAD) + 1 - len(self._header)
            if room > 0:
                self._header += data[start : min(end, start + room)]
            self._header_taken = self._base + end

    def _header_ended(self, body_start: int) -> None:
        if self.body_start is None:
            self.body_start = body_start
            self.head_length = self._header_taken
        head, taken = bytes(self._header), self._header_taken
        if not self._parts or len(head) == 1 or is_header(head[1:]) or head[1:] in (b"\r\n", b"\n"):
            self._opened(head, body_start)
            return
        self._opened(b"\n", self._header_start)  # text without a header: all of it is content
        if self._in_header:  # in a digest it is a message, whose header is what was read just now
            self._header, self._header_taken = bytearray(head), taken
            self._header_ended(body_start)

    def _header_ended_early(self, end: int) -> None:
        """A boundary or the end of the message came before the empty line."""
        if self.head_length is None:
            self.head_length = self._total
        head = bytes(self._header)
        if self._parts and len(head) > 1 and not is_header(head[1:]):
            self._opened(b"\n", self._header_start)
        else:
            self._opened(head, min(end, self._header_taken))
        self._in_header = False

    def _opened(self, head: bytes, offset: int) -> None:
        self._in_header = False
        if len(self._parts) >= MOST_PARTS:
            self._give_up()
            return
        parent = self._stack[-1] if self._stack else None
        digest = parent is not None and parent.header.type == "multipart/digest"
        header = read_part_header(head, "message/rfc822" if digest else "text/plain")
        if self._header_taken - self._header_start > (MOST_PART_HEADER if self._parts else MOST_HEAD):
            header.defects.append("header-too-long")
        if self._late:
            header.defects.append("part-after-end-boundary")
        path = ""
        if parent is not None:
            parent.children += 1
            path = f"{parent.path}.{parent.children}" if parent.path else str(parent.children)
        self._names += sum(map(len, header.names))
        if self._names > MOST_NAMES:
            self._give_up()
            return
        part = _Open(path, header, offset)
        self._parts.append(part)
        self._stack.append(part)
        self._descend(part)

    def _give_up(self) -> None:
        self._parts[0].defects.append("too-many-parts")
        self._in_header = False
        self._needles = ()
        self._gave_up = True

    def _descend(self, part: _Open) -> None:
        header = part.header
        is_multipart = header.type.startswith("multipart/")
        if not is_multipart and header.type not in _MESSAGE_TYPES:
            return
        if header.encoding not in _IDENTITY:
            part.defects.append("encoded-container")
        elif len(self._stack) > MOST_DEPTH:
            part.defects.append("too-deep")
        elif not is_multipart:
            self._begin_header(part.offset)
        elif header.boundary:
            part.boundary = header.boundary
            self._renew_needles()
        else:
            part.defects.append("no-boundary")

    def _begin_header(self, start: int, *, late: bool = False) -> None:
        self._in_header = True
        self._late = late
        self._header_start = self._header_taken = start
        self._header = bytearray(b"\n")

    def _boundary(self, index: int, closes: bool, before: int, after: int) -> None:
        if self._gave_up:
            return
        self._close(index + 1, before)
        container = self._stack[index]
        if closes:
            container.closed = True
        else:
            self._begin_header(after, late=container.closed)

    def _close(self, depth: int, end: int) -> None:
        if len(self._stack) <= depth:
            return
        for part in self._stack[depth:]:
            part.end = max(part.offset, end)
            if part.boundary and not part.closed:
                part.defects.append("missing-end-boundary")
        del self._stack[depth:]
        self._renew_needles()

    def _renew_needles(self) -> None:
        if not self._gave_up:
            self._needles = tuple({b"\n--" + part.boundary for part in self._stack if part.boundary})
