"""HL7 version 2 as it is written (HL7 2.5 chapter 2): octets to segments with their places, losing nothing.

A file is taken apart into pieces that together are exactly its octets: messages, the envelope's segments (FHS, BHS,
BTS, FTS) and what stands outside (framing, a mail's text). Fields are split when they are asked for and unescaped
when they are shown; what is stored and forwarded is what came. Senders' habits that are read as they are meant:

* segments end in CR, LF, CRLF or any mixture (the standard has CR only);
* a line that doesn't begin with a segment's name and the field separator goes on in the field before it;
* the separators are what MSH-1 and MSH-2 say, per message; what they don't say is as usual;
* MLLP's octets around messages (0x0B, 0x1C) separate them;
* the octets are believed over MSH-18 (relayd/edi/charset.py), and a wrong MSH-18 is a finding.

Nothing raises here for any octets, and everything takes time linear in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from relayd.edi.charset import LENIENT
from relayd.edi.charset import find as charset_of
from relayd.edi.model import Finding, Place, Severity

#: The segments around messages (HL7 2.5 §2.10.3).
ENVELOPE: Final = frozenset({"FHS", "BHS", "BTS", "FTS"})
HEADERS: Final = frozenset({"MSH", "FHS", "BHS"})
#: Segments that senders write without any field; another bare word of three capitals is text.
_BARE: Final = frozenset(b"BLG BTS DSC FTS GT1 IN1 IN2 NTE OBR ORC PD1 PDA PV1 PV2 SAC SPM TQ1".split())

#: CR, LF and MLLP's framing all end a line here.
_ONE_LINE_END: Final = bytes.maketrans(b"\r\x0b\x1c", b"\n\n\n")
_CR: Final = 0x0D
_LF: Final = 0x0A
#: MLLP's end of a block.
_BLOCK_END: Final = 0x1C
_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]{0,8}([A-Z][A-Z0-9]{2})([!-/:-@\[-`{-~]|\Z)")
# A header: its field separator stands again behind the encoding characters, unless the line ends there.
_HEADER = re.compile(rb"(?:MSH|FHS|BHS)([!-/:-@\[-`{-~]).{0,8}?(?:\1|\Z)", re.DOTALL)
#: What follows MLLP's end of block; 0x1C before anything else is data.
_BEHIND_BLOCK: Final = (b"", b"\r", b"\n", b"\x0b")
_PARAGRAPH = re.compile(rb"(?>\r\n|\r|\n)(?=[ \t]{0,8}(?:[\r\n]|\Z)|-- ?(?:[\r\n]|\Z))")
#: The field of running text, in which a line may end.
_TEXT_FIELD: Final = {"OBX": 5, "NTE": 3}


class Separators(NamedTuple):
    """MSH-1 and MSH-2 (HL7 2.5 §2.5.4); an empty one is not in use."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    def encoding_characters(self) -> str:
        """As in MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent


USUAL: Final = Separators()


class Segment:
    """One segment. Its octets in the file are ``data[start:stop]``, of which ``data[begin:end]`` without blanks in
    front and line ends behind. ``line`` and ``number`` count from 1 in the file.
    """

    __slots__ = ("_data", "_fields", "begin", "charset", "end", "line", "number", "separators", "start", "stop", "tag")

    def __init__(
        self, data: bytes, tag: str, start: int, begin: int, separators: Separators, line: int, number: int
    ) -> None:
        self._data = data
        self._fields: list[str] | None = None
        self.tag = tag
        self.start = start
        self.begin = begin
        self.separators = separators
        self.line = line
        self.number = number
        self.charset = "ascii"
        self.end = self.stop = begin

    def close(self, stop: int) -> None:
        """It ends here, line end and framing included."""
        self.stop = stop
        data, end = self._data, stop
        while end > self.begin + 3 and data[end - 1] in b"\r\n\x0b\x1c":
            end -= 1
        self.end = end

    @property
    def octets(self) -> bytes:
        """All its octets, line end included."""
        return self._data[self.start : self.stop]

    @property
    def text(self) -> str:
        """The segment as it is written, without its line end."""
        return decode(self._data[self.begin : self.end], self.charset)

    @property
    def fields(self) -> list[str]:
        """The fields as they are written, numbered as HL7 does: 0 is the tag, and MSH-1 is the separator itself."""
        if self._fields is None:
            self._fields = self.text.split(self.separators.field)
            if self.tag in HEADERS:
                self._fields.insert(1, self.separators.field)
        return self._fields

    def raw(self, number: int) -> str:
        """A whole field as it is written; "" where there is none."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """A field's repetitions as they are written; none where the field is empty."""
        raw = self.raw(number)
        if not raw:
            return []
        if self.tag in HEADERS and number <= 2:
            return [raw]
        repetition = self.separators.repetition
        return raw.split(repetition) if repetition and repetition in raw else [raw]

    def components(self, raw: str) -> list[str]:
        """The components of one repetition, as they are written."""
        component = self.separators.component
        return raw.split(component) if component and component in raw else [raw]

    def subcomponents(self, raw: str) -> list[str]:
        """The sub-components of one component, as they are written."""
        subcomponent = self.separators.subcomponent
        return raw.split(subcomponent) if subcomponent and subcomponent in raw else [raw]

    def unescape(self, raw: str) -> str:
        """What is meant by what is written: for showing, never for forwarding."""
        escape = self.separators.escape
        return unescape(raw, self.separators, self.charset) if escape and escape in raw else raw

    def value(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """One unescaped value; "" where there is none. All of them count from 1."""
        repetitions = self.repetitions(number)
        if len(repetitions) < repetition:
            return ""
        if self.tag in HEADERS and number <= 2:
            return repetitions[0]
        components = self.components(repetitions[repetition - 1])
        if len(components) < component:
            return ""
        subcomponents = self.subcomponents(components[component - 1])
        return self.unescape(subcomponents[subcomponent - 1]) if len(subcomponents) >= subcomponent else ""

    def place(self, element: str = "") -> Place:
        """Where it stands, with an element such as "5[2].1"."""
        return Place(self.line, self.number, self.tag, element)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: ``data[start:end]``. A message whose MSH is missing has the usual separators."""

    segments: tuple[Segment, ...]
    separators: Separators
    charset: str
    start: int
    end: int
    findings: tuple[Finding, ...] = ()

    @property
    def header(self) -> Segment | None:
        """Its MSH."""
        first = self.segments[0]
        return first if first.tag == "MSH" else None


@dataclass(frozen=True, slots=True)
class Outside:
    """Octets of no segment: framing, empty lines, text before, between and behind messages."""

    octets: bytes
    start: int


@dataclass(slots=True)
class File:
    """A file's pieces in their order; together they are its octets."""

    pieces: list[Message | Segment | Outside] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        return [piece for piece in self.pieces if isinstance(piece, Message)]

    @property
    def envelope(self) -> list[Segment]:
        """FHS, BHS, BTS and FTS."""
        return [piece for piece in self.pieces if isinstance(piece, Segment)]

    @property
    def outside(self) -> list[Outside]:
        return [piece for piece in self.pieces if isinstance(piece, Outside)]

    def segments(self) -> Iterator[Segment]:
        """Every segment, those of the envelope too."""
        for piece in self.pieces:
            if isinstance(piece, Message):
                yield from piece.segments
            elif isinstance(piece, Segment):
                yield piece

    def octets(self) -> bytes:
        """The file again, octet for octet."""
        whole: list[bytes] = []
        for piece in self.pieces:
            if isinstance(piece, Message):
                whole += [segment.octets for segment in piece.segments]
            else:
                whole.append(piece.octets)
        return b"".join(whole)


def split(data: bytes, charset: str = "") -> File:
    """Take a file apart. ``charset`` is what its carrier says of it (MIME), by Python's or the Internet's name."""
    return _Splitter(data, charset).split()


class _Splitter:
    """Goes through the lines of a file; a line begins a segment, goes on with the one before, or stands outside."""

    def __init__(self, data: bytes, declared: str) -> None:
        self._data = data
        self._declared = declared
        self._file = File()
        self._separators = USUAL
        self._mark = USUAL.field.encode()
        #: Segments of the message that is open. The last one grows by the lines that follow.
        self._segments: list[Segment] = []
        self._outside = 0
        self._line = 1
        self._number = 0

    def split(self) -> File:
        data, size = self._data, len(self._data)
        offset = 0
        for line in data.translate(_ONE_LINE_END).split(b"\n"):
            match = _START.match(line) if line else None
            if match is not None and self._begins(match, line):
                self._begin(match, line, offset)
            end = offset + len(line)
            last = data[end] if end < size else 0
            if last == _CR or (last == _LF and data[end - 1 : end] != b"\r"):
                self._line += 1
            elif last == _BLOCK_END and data[end + 1 : end + 2] in _BEHIND_BLOCK:
                self._close_message(end + 1)
            offset = end + 1
        self._close_message(size)
        return self._file

    def _begins(self, match: re.Match[bytes], line: bytes) -> bool:
        tag, mark = match.groups()
        if mark == self._mark:
            return True
        return _HEADER.match(line, match.start(1)) is not None if mark else tag in _BARE

    def _begin(self, match: re.Match[bytes], line: bytes, offset: int) -> None:
        if self._segments:
            self._segments[-1].close(offset)
        tag, begin = match[1].decode(), offset + match.start(1)
        if tag in HEADERS and _HEADER.match(line, match.start(1)):
            self._close_message(offset)
            self._separators = _separators(line[match.end(1) : match.end(1) + 10])
            self._mark = self._separators.field.encode()
        elif tag in ENVELOPE or (self._segments and self._segments[0].tag in ENVELOPE):
            self._close_message(offset)
        if not self._segments:
            self._take_outside(offset)
        self._number += 1
        self._segments.append(Segment(self._data, tag, offset, begin, self._separators, self._line, self._number))

    def _close_message(self, stop: int) -> None:
        """The open message ends here; text behind its last segment is outside."""
        segments, self._segments = self._segments, []
        if segments:
            last = segments[-1]
            last.close(_footer(self._data, last, stop))
            header = segments[0] if segments[0].tag == "MSH" else None
            start, end = segments[0].begin, last.end
            charset, findings = _charset(self._data[start:end], header, self._declared)
            for segment in segments:
                segment.charset = charset
            if last.tag in ENVELOPE:
                self._file.pieces.append(last)
            else:
                message = Message(tuple(segments), segments[0].separators, charset, start, end, findings)
                self._file.pieces.append(message)
            self._outside = last.stop
        self._take_outside(stop)

    def _take_outside(self, stop: int) -> None:
        if self._outside < stop:
            self._file.pieces.append(Outside(self._data[self._outside : stop], self._outside))
            self._outside = stop


@lru_cache(maxsize=64)
def _separators(behind: bytes) -> Separators:
    """What the first ten octets behind a header's tag say; nearly all files say the same. A character that is no
    punctuation, or missing, is not in use."""
    mark = behind[:1].decode("ascii")
    written = behind[1:10].decode("latin-1").split(mark)[0]
    if written[2:4] == "\\\\":  # an escape character that a program has escaped
        written = written[:3] + written[4:]
    if not re.fullmatch(r"[!-/:-@\[-`{-~]+", written[:4]):
        written = USUAL.encoding_characters()
    component, repetition, escape, subcomponent = (written[index : index + 1] for index in range(4))
    return Separators(mark, component, repetition, escape, subcomponent)


def _footer(data: bytes, last: Segment, stop: int) -> int:
    """Where a message's last segment ends and text behind it begins, such as a mail's footer.

    A line that ends inside the field of running text belongs to it, up to an empty line. Anything with a field
    separator in it does too: the segment goes on there.
    """
    lines = [at for at in (data.find(b"\r", last.begin, stop), data.find(b"\n", last.begin, stop)) if at >= 0]
    if not lines:
        return stop
    first = min(lines)
    behind = first + (2 if data[first : first + 2] == b"\r\n" else 1)
    mark = last.separators.field.encode()
    rest = data[behind:stop]
    if not rest.strip(b"\r\n\t \x0b\x1c\x00\x1a"):
        return stop
    text_field = _TEXT_FIELD.get(last.tag)
    if text_field is None or data.count(mark, last.begin, first) > text_field:
        return stop if mark in rest else behind
    paragraph = _PARAGRAPH.search(data, last.begin, stop)
    if paragraph is None or mark in data[paragraph.end() : stop]:
        return stop
    return paragraph.end()


# Character sets


_SETS: Final = {
    "ASCII": "ascii", "ISOIR6": "ascii", "USASCII": "ascii", "ISOIR100": "iso-8859-1", "LATIN1": "iso-8859-1",
    "UNICODEUTF8": "utf-8", "UTF8": "utf-8", "UNICODE": "utf-8",
    "WINDOWS1252": "cp1252", "CP1252": "cp1252", "WIN1252": "cp1252", "ANSI": "cp1252",
    "CP850": "cp850", "IBM850": "cp850", "CP437": "cp437", "IBM437": "cp437",
}  # fmt: skip
_ISO_8859 = re.compile(r"(?:ISO)?8859(1[013456]|[1-9])")


@lru_cache(maxsize=256)
def character_set(name: str) -> str:
    """A character set by a name of table 0211, or by the Internet's, as Python names it; "" for one unknown."""
    plain = re.sub(r"[^A-Z0-9]", "", name.upper())
    iso = _ISO_8859.fullmatch(plain)
    return f"iso-8859-{iso[1]}" if iso else _SETS.get(plain, "")


def decode(octets: bytes, charset: str) -> str:
    """Text of a segment; octets that its message's character set doesn't have are read as Windows-1252."""
    return octets.decode(charset, LENIENT)


def _charset(octets: bytes, header: Segment | None, declared: str) -> tuple[str, tuple[Finding, ...]]:
    """The character set of a message, as Python names it, and what is wrong with what it says of it."""
    claims: list[str] = []
    place = Place()
    if header is not None and header.tag == "MSH":
        written = octets[: header.end - header.begin].split(header.separators.field.encode(), 18)
        if len(written) > 17 and written[17]:
            claims = written[17][:200].decode("latin-1").split(header.separators.repetition or "~")
            place = header.place("18")
    names = [name for name in map(character_set, [*claims, declared[:40]]) if name]
    claimed = names[0] if names else ""
    findings: list[Finding] = []
    if claims and claims[0] and not character_set(claims[0]):
        text = "MSH-18 names a character set that isn't known: %(name)s"
        findings.append(Finding(Severity.WARNING, text, place, {"name": claims[0][:40]}))
    if octets.isascii():
        return claimed or "ascii", tuple(findings)
    if claimed == "ascii":
        findings.append(Finding(Severity.WARNING, "The message says that it is in ASCII, but it isn't", place))
    found, odd = charset_of(octets, claimed)
    findings += [replace(finding, place=place) for finding in odd]
    if found == "utf-8" and claimed not in ("", "ascii", "utf-8"):
        text = "The message is in UTF-8, but says that it is in %(name)s"
        findings.append(Finding(Severity.WARNING, text, place, {"name": (claims[0] if claims else declared)[:40]}))
    elif found != "utf-8" and claimed == "utf-8":
        findings.append(Finding(Severity.WARNING, "The message says that it is in UTF-8, but it isn't", place))
    return found, tuple(findings)


# Escapes


_HEX_RUN = r"(?:{0}[Xx](?:[0-9A-Fa-f]{{2}})+{0})+"
_ESCAPE = (
    r"{0}(?:([FSTREP])|(\.(?i:br|ce))|(\.(?i:sp|sk)) ?\+?([0-9]{{0,3}})|\.(?i:fi|nf|in|ti)[+-]?[0-9]{{0,4}}|[HN]) ?{0}"
)


@lru_cache(maxsize=16)
def _escapes(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"({_HEX_RUN.format(mark)})|{_ESCAPE.format(mark)}")


def unescape(raw: str, separators: Separators, charset: str = "ascii") -> str:
    r"""What is meant by a written value (HL7 2.5 §2.7).

    Breaks of lines (``\.br\``) become LF. Highlighting and indents are left out. An escape that is unknown, not
    closed or of a sender's own (``\Z..\``, ``\C..\``, ``\M..\``) stays as it is written.
    """
    if not separators.escape or separators.escape not in raw:
        return raw
    letters = {
        "F": separators.field, "S": separators.component, "T": separators.subcomponent or "&",
        "R": separators.repetition, "E": separators.escape, "P": "#",
    }  # fmt: skip

    def meant(match: re.Match[str]) -> str:
        run, letter, line, space, count = match.groups()
        if run:
            return _from_hexadecimal(re.sub(r"[Xx]|" + re.escape(separators.escape), "", run), charset)
        if letter:
            return letters[letter]
        if line:
            return "\n"
        if space:
            return ("\n" if space.lower() == ".sp" else " ") * min(int(count or 1), 100)
        return ""

    return _escapes(separators.escape).sub(meant, raw)


def has_unread_escape(raw: str, separators: Separators) -> bool:
    """Whether an escape character stands in a written value that begins no escape that is read."""
    mark = separators.escape
    return bool(mark) and mark in raw and mark in _escapes(mark).sub("", raw)


def _from_hexadecimal(digits: str, charset: str) -> str:
    """A run of ``\\X..\\``: octets of the message's character set, or of UTF-16 as some senders write."""
    octets = bytes.fromhex(digits)
    if len(octets) % 2 == 0 and not any(octets[::2]) and any(octets):
        octets = octets[1::2]
        return octets.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = decode(octets, charset)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def escape(text: str, separators: Separators = USUAL) -> str:
    """A value as it is written in a message; LF becomes a break of lines."""
    mark = separators.escape
    if not mark:
        return text
    text = text.replace(mark, f"{mark}E{mark}")
    for letter, character in (
        ("F", separators.field), ("S", separators.component), ("R", separators.repetition),
        ("T", separators.subcomponent),
    ):  # fmt: skip
        if character:
            text = text.replace(character, f"{mark}{letter}{mark}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n", f"{mark}.br{mark}")
