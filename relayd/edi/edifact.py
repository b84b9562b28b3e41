"""EDIFACT (ISO 9735) in tokens, without losing an octet: interchanges, messages and segments with their places.

::

    octets ── parse ──► Transmission: Outside, Interchange, Outside, …       bytes(transmission) == octets
                                               └ Segment, Segment, …         segment.elements[i][j], unescaped on demand

It takes what senders really write. A UNA may be missing or have five characters; without one, unusual separators are
taken from UNB. A tag may carry counters ("BEP:1:1:2", ISO 9735 §9.1). The release character makes any next character
plain. Whitespace between segments is decoration, inside a segment it is data. Text may stand before, between and
behind interchanges (a mail's footer). What had to be repaired stands in :attr:`Segment.repair`.

Work is linear: no pattern goes back, and each lookahead covers only what the next match covers again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache

from relayd.edi.charset import BOM, text

_START = re.compile(rb"(?<![A-Za-z0-9])UN(?:A|[BH](?=[^\w\s]))")
_UNA = re.compile(rb"UNA(.)(.)(.)(.)(.)(.)(?=[\s\x00]{0,8}+UN[BGH])", re.DOTALL)
_SHORT_UNA = re.compile(rb"UNA([^\w\s])([^\w\s])([^\w\s])(.)([^\w\s])(?=[\s\x00]{0,8}+UN[BGH])")
_UNB = re.compile(rb"UNB([^\w\s'?])\w{1,6}([^\w\s])")
_UNH = re.compile(rb"UNH\+[^+\r\n]{1,40}\+[A-Za-z]")
_LOOKS_LIKE_SEGMENTS = re.compile(rb"(?:[\s\x00\x1a]*+[A-Z][A-Z0-9]{2}[+:][^'\r\n]*+'){2}")


class Repair(StrEnum):
    """What was wrong with how a segment ends."""

    NONE = ""
    #: The next segment starts on a new line, but nothing ends this one.
    NO_TERMINATOR = "no terminator"
    #: It holds a terminator that ends nothing, as in "foto's": it should have been released.
    NOT_RELEASED = "not released"
    #: The file ends in the middle of it.
    CUT = "cut"


@dataclass(frozen=True)
class Syntax:
    """The separators of an interchange, an octet each, and how its text is decoded. ``release`` may be ``b""``."""

    component: bytes = b":"
    element: bytes = b"+"
    decimal: bytes = b"."
    release: bytes = b"?"
    terminator: bytes = b"'"
    charset: str = "iso-8859-1"

    @property
    def sound(self) -> bool:
        """The separators can be told from each other and from text."""
        marks = [self.component, self.element, self.terminator, *([self.release] if self.release else [])]
        return len(set(marks)) == len(marks) and not any(
            mark.isalnum() or mark == b" " or not mark.isascii() for mark in marks
        )

    @property
    def una(self) -> bytes:
        """The service string advice that says so."""
        return b"UNA" + self.component + self.element + self.decimal + (self.release or b" ") + b" " + self.terminator

    def split(self, raw: bytes) -> list[list[str]]:
        """The unescaped components of the elements of a segment; the first element is the tag with its counters."""
        written = text(raw, self.charset)
        element, component = self._characters
        if not self.release or self.release not in raw:
            return [part.split(component) for part in written.split(element)]
        parts, value = [[]], ""  # type: list[list[str]], str
        pieces = self.released.split(written)
        for plain, mark in zip(pieces[::2], [*pieces[1::2], element], strict=True):
            value += plain
            if len(mark) == 2:
                value += mark[1]
                continue
            parts[-1].append(value)
            value = ""
            if mark == element:
                parts.append([])
        return parts[:-1]

    def join(self, parts: Iterable[Sequence[str]]) -> bytes:
        """A segment without its terminator from its elements, escaped; the first is the tag with its counters."""
        release = self.release.decode("iso-8859-1")
        marks = (self.release, self.component, self.element, self.terminator)
        escapes = str.maketrans(
            {mark.decode("iso-8859-1"): release + mark.decode("iso-8859-1") for mark in marks if mark}
        )
        element, component = self._characters
        written = element.join(component.join(value.translate(escapes) for value in part) for part in parts)
        return written.encode(self.charset)

    @cached_property
    def _characters(self) -> tuple[str, str]:
        return self.element.decode("iso-8859-1"), self.component.decode("iso-8859-1")

    @cached_property
    def marks(self) -> frozenset[bytes]:
        """What stands behind a tag; nothing does at the end of a file."""
        return frozenset({self.element, self.component, self.terminator, b""})

    @cached_property
    def segment(self) -> re.Pattern[bytes]:
        """Decoration, a segment up to its terminator, the line in front of a new one or the end; its terminator.

        The outer loop isn't possessive: before 3.11.5, Python's possessive groups forget where a lookahead began.
        Nothing that can fail stands behind it, so that nothing makes it go back.
        """
        terminator, element, component = map(re.escape, (self.terminator, self.element, self.component))
        release = re.escape(self.release)
        tag = rb"[A-Z][A-Z0-9]{2}(?=" + element + rb"|" + component + rb"|" + terminator + rb"|\Z)"
        # A terminator is one if a segment, a new line or nothing follows it.
        ends = terminator + rb"(?:[^\S\r\n]*+[\r\n]|[\s\x00\x1a]*+(?:" + tag + rb"|\Z))"
        alternatives = [rb"(?!" + ends + rb")" + terminator]
        if release:
            alternatives += [release + rb".", release + rb"\Z"]
        plain = rb"[^" + terminator + release + rb"]*+"
        if self.terminator not in b"\r\n":
            # A line that starts as a segment of the envelope, or with a tag and counters, is a segment.
            counted = rb"[A-Z]{3}(?:" + component + rb"[0-9]{1,4})++" + element
            fresh = rb"UN[BHTZ]" + element + rb"|" + counted
            alternatives.append(rb"(?![\r\n]++(?:" + fresh + rb"))[\r\n]++")
            plain = rb"[^\r\n" + terminator + release + rb"]*+"
        body = plain + rb"(?:(?:" + rb"|".join(alternatives) + rb")" + plain + rb")*"
        return re.compile(rb"([\s\x00\x1a]*+)(" + body + rb")(" + terminator + rb")?", re.DOTALL)

    @cached_property
    def trailer(self) -> re.Pattern[bytes]:
        """UNT and UNZ, behind which anything may follow: they end with their line at the latest."""
        terminator = re.escape(self.terminator)
        return re.compile(rb"([\s\x00\x1a]*+)([^\r\n" + terminator + rb"]*+)(" + terminator + rb")?")

    @cached_property
    def unreleased(self) -> re.Pattern[bytes]:
        """Finds a terminator that isn't released."""
        terminator, release = re.escape(self.terminator), re.escape(self.release)
        plain = rb"(?:" + release + rb".|[^" + release + terminator + rb"])*" if release else rb".*?"
        return re.compile(rb"\A" + plain + terminator, re.DOTALL)

    @cached_property
    def released(self) -> re.Pattern[str]:
        """Splits text at separators and at released characters, which it keeps."""
        release, *marks = (re.escape(mark) for mark in (self.release.decode("iso-8859-1"), *self._characters))
        return re.compile(rf"({release}.|{'|'.join(marks)})", re.DOTALL)


@dataclass(slots=True)
class Segment:
    """``raw`` is what stands between ``before`` (decoration) and ``terminator``. ``start`` and ``end`` are octets of
    the file, terminator included; ``line`` and ``number`` count from 1 in the file.

    ``tag`` is "" where there is none to be seen: then the segment has no elements, only :attr:`written`.
    """

    tag: str
    raw: bytes
    terminator: bytes
    before: bytes
    syntax: Syntax
    start: int = 0
    line: int = 0
    number: int = 0
    repair: Repair = Repair.NONE
    _parts: list[list[str]] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def end(self) -> int:
        return self.start + len(self.raw) + len(self.terminator)

    @property
    def written(self) -> str:
        """The segment as it came, escapes included."""
        return text(self.raw, self.syntax.charset)

    @property
    def counters(self) -> list[str]:
        """The counters behind the tag: ["1", "1", "2"]."""
        return self._split()[0][1:] if self.tag else []

    @property
    def elements(self) -> list[list[str]]:
        """The elements behind the tag, each with its components, unescaped."""
        return self._split()[1:] if self.tag else []

    def get(self, element: int, component: int = 1) -> str:
        """A component by its position, both from 1; "" where there is none."""
        parts = self._split()
        if element < len(parts) and component <= len(parts[element]):
            return parts[element][component - 1]
        return ""

    def __bytes__(self) -> bytes:
        return self.before + self.raw + self.terminator

    def _split(self) -> list[list[str]]:
        if self._parts is None:
            self._parts = self.syntax.split(self.raw)
        return self._parts


@dataclass(slots=True)
class Message:
    """The segments from UNH to UNT. Either may be missing: then the message was found by what stands around it."""

    segments: list[Segment]

    @property
    def head(self) -> Segment | None:
        return self.segments[0] if self.segments[0].tag == "UNH" else None

    @property
    def tail(self) -> Segment | None:
        return self.segments[-1] if self.segments[-1].tag == "UNT" else None

    @property
    def body(self) -> list[Segment]:
        return self.segments[bool(self.head) : len(self.segments) - bool(self.tail)]


@dataclass(slots=True)
class Interchange:
    """From UNA or UNB to UNZ, or a bare message without them. ``una`` is as it was written, ``b""`` if it wasn't."""

    una: bytes
    syntax: Syntax
    segments: list[Segment]
    start: int = 0
    line: int = 1

    @property
    def envelope(self) -> list[Segment]:
        """The segments around the messages: UNB, UNG, UNE, UNZ."""
        return [segment for segment in self.segments if segment.tag in _ENVELOPE]

    @property
    def header(self) -> Segment | None:
        return next((segment for segment in self.segments if segment.tag == "UNB"), None)

    @property
    def trailer(self) -> Segment | None:
        return next((segment for segment in self.segments if segment.tag == "UNZ"), None)

    def messages(self) -> Iterator[Message]:
        """Segments outside of any message make one of their own, without head and tail."""
        found: list[Segment] = []
        for segment in self.segments:
            if segment.tag in _ENVELOPE or segment.tag == "UNH":
                if found:
                    yield Message(found)
                found = []
            if segment.tag not in _ENVELOPE:
                found.append(segment)
            if segment.tag == "UNT":
                yield Message(found)
                found = []
        if found:
            yield Message(found)

    def __bytes__(self) -> bytes:
        return self.una + b"".join(map(bytes, self.segments))


@dataclass(slots=True)
class Outside:
    """What stands before, between and behind interchanges."""

    octets: bytes
    start: int = 0
    line: int = 1

    def __bytes__(self) -> bytes:
        return self.octets


@dataclass(slots=True)
class Transmission:
    """All that is in one file."""

    parts: list[Interchange | Outside]

    @property
    def interchanges(self) -> list[Interchange]:
        return [part for part in self.parts if isinstance(part, Interchange)]

    @property
    def outside(self) -> list[Outside]:
        """Only where it holds more than whitespace."""
        return [part for part in self.parts if isinstance(part, Outside) and part.octets.removeprefix(BOM).strip(_VOID)]

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self.parts))


_ENVELOPE = frozenset({"UNB", "UNG", "UNE", "UNZ"})
_TRAILERS = frozenset({"UNT", "UNZ"})
_VOID = b" \t\r\n\v\f\x00\x1a"


def parse(data: bytes, charset: str = "iso-8859-1") -> Transmission:
    """The tokens of ``data``, read in ``charset`` (one that has ASCII in its lower half). Never raises."""
    return Transmission(list(_Parser(data, charset).parts()))


def starts(data: bytes) -> bool:
    """An interchange or a message of EDIFACT is somewhere in ``data``."""
    return _next_start(data, 0, "ascii") is not None


#: Interchanges mostly have the same separators, whose patterns needn't be made anew.
_syntax = lru_cache(64)(Syntax)


class _Parser:
    def __init__(self, data: bytes, charset: str) -> None:
        self.data = data
        self.charset = charset
        self.newline = b"\n" if b"\n" in data else b"\r"
        self.line, self.counted, self.number = 1, 0, 0

    def parts(self) -> Iterator[Interchange | Outside]:
        position, found = 0, _next_start(self.data, 0, self.charset)
        if found is None and _LOOKS_LIKE_SEGMENTS.match(self.data):
            found = 0, b"", _syntax(charset=self.charset)  # the front of the file is missing
        while found is not None:
            start, una, syntax = found
            if start > position:
                yield self.outside(position, start)
            interchange, position = self.interchange(start, una, syntax)
            yield interchange
            found = _next_start(self.data, position, self.charset)
        if position < len(self.data):
            yield self.outside(position, len(self.data))

    def outside(self, start: int, end: int) -> Outside:
        return Outside(self.data[start:end], start, self.line_of(start))

    def interchange(self, start: int, una: bytes, syntax: Syntax) -> tuple[Interchange, int]:
        data, marks, terminator = self.data, syntax.marks, syntax.terminator
        found = Interchange(una, syntax, [], start, self.line_of(start))
        segments, last, position = found.segments, "", start + len(una)
        while last != "UNZ":
            match = syntax.segment.match(data, position)
            assert match is not None  # it matches the empty string
            begin = match.start(2)
            head, behind = data[begin : begin + 3], data[begin + 3 : begin + 4]
            tag = head.decode("ascii") if behind in marks and len(head) == 3 and head.isalnum() else ""
            if begin == len(data) or (last == "UNT" and not tag):
                break
            if segments and (tag == "UNB" or head == b"UNA") and _start_at(data, begin, self.charset):
                break
            if tag in _TRAILERS:
                match = syntax.trailer.match(data, position)
                assert match is not None
            before, raw, ended = match.groups()
            self.number += 1
            segment = Segment(tag, raw, ended or b"", before, syntax, begin, self.line_of(begin), self.number)
            if not ended:
                segment.repair = (
                    Repair.CUT if match.end() == len(data) and tag not in _TRAILERS else Repair.NO_TERMINATOR
                )
            elif terminator in raw and syntax.unreleased.search(raw):
                segment.repair = Repair.NOT_RELEASED
            segments.append(segment)
            position, last = match.end(), tag
        return found, position

    def line_of(self, position: int) -> int:
        self.line += self.data.count(self.newline, self.counted, position)
        self.counted = position
        return self.line


def _next_start(data: bytes, position: int, charset: str) -> tuple[int, bytes, Syntax] | None:
    for match in _START.finditer(data, position):
        if found := _start_at(data, match.start(), charset):
            return match.start(), *found
    return None


def _start_at(data: bytes, position: int, charset: str) -> tuple[bytes, Syntax] | None:
    """The UNA as written and the separators, where an interchange or a bare message starts at ``position``."""
    if data.startswith(b"UNA", position):
        short = _SHORT_UNA.match(data, position)
        match = short or _UNA.match(data, position)
        if match is None:
            return None
        marks = match.groups()
        component, element, decimal, release = marks[:4]
        if release == b" ":
            release = b""
        syntax = _syntax(component, element, decimal, release, marks[-1], charset)
        return match[0], syntax if syntax.sound else _syntax(charset=charset)
    if match := _UNB.match(data, position):
        return b"", _guessed(data[position : position + 400], match[1], match[2], charset)
    return (b"", _syntax(charset=charset)) if _UNH.match(data, position) else None


def _guessed(front: bytes, element: bytes, component: bytes, charset: str) -> Syntax:
    """The separators of an interchange without UNA, from what UNB shows: the usual ones, unless it shows others."""
    if element == component:
        return _syntax(charset=charset)
    usual = _syntax(component, element, charset=charset)
    match = re.search(rb"(.)([\s\x00]*+)UN[HG]" + re.escape(element), front, re.DOTALL)
    if match is None or match[1] == usual.terminator or re.search(rb"'\s*+(?:[A-Z]{3}|\Z)", front):
        return usual if usual.sound else _syntax(charset=charset)
    syntax = _syntax(component, element, terminator=match[2][:1] if match[1].isalnum() else match[1], charset=charset)
    return syntax if match[1] and syntax.terminator and syntax.sound else usual
