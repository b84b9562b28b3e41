"""What a MIME part's header says of it (RFC 2045, RFC 2183, RFC 2231), read as laxly as the laxest mail program.

Two programs may read a broken header in two ways, so all names are collected: from Content-Type and from
Content-Disposition, however often these occur and however their parameters are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from relayd.mail.words import decode_octets, decode_words

_CONTENT = re.compile(
    rb"\n(?i:content-(type|transfer-encoding|disposition|id))[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*)",
)
_FIELD_LINE = re.compile(rb"[!-9;-~]++[ \t]*:")
_NOT_A_FIELD = re.compile(rb"\n(?![ \t\r\n]|[!-9;-~]++[ \t]*:)(?=.)", re.DOTALL)
_TYPE = re.compile(r"[!#$%&'*+\-.0-9a-z^_`{|}~]++/[!#$%&'*+\-.0-9a-z^_`{|}~]++")
#: A parameter should follow a semicolon; programs that only look for its name find it behind other things too.
_PARAMETER = re.compile(
    r'(?:[;,)]|(?<=[\s"]))[ \t]*+([^\s=;,()"*]++)((?:\*[0-9]{1,9})?\*?)[ \t]*+=[ \t]*+("(?:[^"\\]|\\.)*"?|[^;]*+)'
    r"(?=([^;]{0,512}))"
)
_UNQUOTE = re.compile(r"\\(.)")
_COMMENT = re.compile(r"\([^()]*\)")
#: What makes a type that we can't read, or read second, a container to somebody else.
_CONTAINER = re.compile(r"multipart|message|boundary", re.IGNORECASE)
_ENCODINGS = frozenset({"7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "uuencode", "x-uue"})
_MOST_BOUNDARY = 900


#: Names that are kept of one part, and the defect of a part with more: nobody can say what it would be called.
_MOST_NAMES: Final = 16
#: Characters of a name; no file system takes half of that.
LONGEST_NAME: Final = 512
NAME_TOO_LONG: Final = "name-too-long"
TOO_MANY_NAMES: Final = "too-many-names"


#: One section of a parameter: whether it is percent-encoded, and its text.
_Piece = tuple[bool, str]


@dataclass(slots=True)
class PartHeader:
    """A part's header, decoded. ``boundary`` is b"" without one."""

    type: str = "text/plain"
    charset: str = ""
    encoding: str = "7bit"
    disposition: str = ""
    content_id: str = ""
    boundary: bytes = b""
    names: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)


def read_part_header(head: bytes, default_type: str = "text/plain") -> PartHeader:
    """``head`` is the header section behind one LF (so that every field follows a line end)."""
    header = PartHeader(default_type)
    if not head.startswith((b"\r\n", b"\n\r\n"), 1) and _NOT_A_FIELD.search(head):
        header.defects.append("broken-header")
    seen: set[bytes] = set()
    dispositions: list[str] = []
    types: list[str] = []
    for match in _CONTENT.finditer(head):
        name = match[1].lower()
        value = decode_octets(match[2].replace(b"\r\n", b"").replace(b"\n", b"")).strip()
        if name == b"type":
            types.append(value)
        elif name == b"disposition":
            dispositions.append(value)
        elif name in seen:
            pass
        elif name == b"transfer-encoding":
            _set_encoding(header, value)
        else:
            header.content_id = value
        if name in seen:
            header.defects.append(f"repeated:content-{name.decode('ascii')}")
        seen.add(name)
    for index, value in enumerate(dispositions):
        if not index:
            header.disposition = _first_word(value)
        _add_names(header, _parameters(value), "filename", "name")
    for index, value in enumerate(types):
        parameters = _parameters(value)
        if not index:
            _set_type(header, value, parameters)
        _add_names(header, parameters, "name", "filename")
    if len({"".join(value.split()).lower() for value in types}) > 1 and any(map(_CONTAINER.search, types)):
        header.defects.append("ambiguous-type")
    return header


def is_header(octets: bytes) -> bool:
    """Whether ``octets`` begin with a header field."""
    return _FIELD_LINE.match(octets) is not None


def _set_type(header: PartHeader, value: str, parameters: dict[str, list[str]]) -> None:
    word = _first_word(value)
    if _TYPE.fullmatch(word):
        header.type = word
    else:
        header.defects.append("broken-content-type")
        if _CONTAINER.search(value):
            header.defects.append("ambiguous-type")
    header.charset = parameters.get("charset", [""])[0].lower()
    boundaries = parameters.get("boundary", [])
    if len({*boundaries, *map(decode_words, boundaries)}) > 1:
        header.defects.append("repeated-boundary")
    if boundaries:
        boundary = boundaries[0].rstrip().encode("utf-8", "surrogateescape")
        if len(boundary) <= _MOST_BOUNDARY:
            header.boundary = boundary


def _set_encoding(header: PartHeader, value: str) -> None:
    words = _words(value)
    header.encoding = words[0] if words else "7bit"
    if header.encoding not in _ENCODINGS or len(words) > 1:
        header.defects.append("unknown-encoding")


def _first_word(value: str) -> str:
    words = _words(value)
    return words[0] if words else ""


def _words(value: str) -> list[str]:
    """What stands before the parameters, without comments."""
    if "(" in value:
        value = _COMMENT.sub(" ", value)
    return value.partition(";")[0].lower().split()


def _add_names(header: PartHeader, parameters: dict[str, list[str]], *wanted: str) -> None:
    """A header has room for thousands of names: honest ones have a few, and what comes after those isn't looked at."""
    for key in wanted:
        for value in parameters.get(key, ()):
            if len(header.names) >= _MOST_NAMES:
                if TOO_MANY_NAMES not in header.defects:
                    header.defects.append(TOO_MANY_NAMES)
                return
            name = decode_words(value).strip()
            if len(name) > LONGEST_NAME:
                name = name[-LONGEST_NAME:]
                if NAME_TOO_LONG not in header.defects:
                    header.defects.append(NAME_TOO_LONG)
            if name and name not in header.names:
                header.names.append(name)


def _parameters(value: str) -> dict[str, list[str]]:
    """All readings of each parameter, in lower-case keys: the RFC 2231 form first, since it is the most explicit."""
    plain: dict[str, list[str]] = {}
    extended: dict[str, list[str]] = {}
    pieces: dict[str, dict[int, list[_Piece]]] = {}
    for match in _PARAMETER.finditer(value):
        key, marks, text = match[1].lower(), match[2], match[3]
        if text.startswith('"'):
            text = text[1:-1] if text.endswith('"') and len(text) > 1 else text[1:]
            readings = [_UNQUOTE.sub(r"\1", text)]
            if key == "boundary" and readings[0] != text:
                readings.append(text)  # not every program takes backslashes away
            elif key in ("name", "filename") and (behind := match[4].strip()):
                readings.append(f"{text}{behind}".replace('"', ""))  # nor ends at the closing quote
        else:
            text = text.strip()
            first = text.split("(")[0].split()
            readings = [text, first[0]] if first and first[0] != text else [text]
            if key == "boundary":
                readings = readings[-1:]
        if not marks:
            plain.setdefault(key, []).extend(readings)
        elif marks == "*":
            extended.setdefault(key, []).append(_extended(readings[0].encode("utf-8", "surrogateescape"), True))
        else:
            number = int(marks.strip("*"))
            pieces.setdefault(key, {}).setdefault(number, []).append((marks.endswith("*"), readings[0]))
    for key, numbered in pieces.items():
        extended.setdefault(key, []).extend(_all_joined(numbered))
    for key, values in plain.items():
        extended.setdefault(key, []).extend(values)
    return extended


def _all_joined(numbered: dict[int, list[_Piece]]) -> list[str]:
    """The readings of a parameter in pieces: of a repeated one the first or the last, and only those up to a gap."""
    first = {number: pieces[0] for number, pieces in numbered.items()}
    last = {number: pieces[-1] for number, pieces in numbered.items()}
    gap = next(number for number in range(len(first) + 1) if number not in first)
    readings = [_joined(first), _joined(last), _joined({number: first[number] for number in range(gap)})]
    return [reading for reading in dict.fromkeys(readings) if reading]


def _joined(parts: dict[int, _Piece]) -> str:
    """RFC 2231 §4.1: the sections in their order; only those marked with an asterisk are percent-encoded."""
    octets = b""
    charset = ""
    for index, number in enumerate(sorted(parts)):
        encoded, text = parts[number]
        section = text.encode("utf-8", "surrogateescape")
        if not encoded:
            octets += section
            continue
        if not index and section.count(b"'") >= 2:
            label, _, section = section.split(b"'", 2)
            charset = label.decode("ascii", "replace")
        octets += unquote_to_bytes(section)
    return decode_octets(octets, charset)


def _extended(octets: bytes, with_charset: bool) -> str:
    charset = ""
    if with_charset and octets.count(b"'") >= 2:
        label, _, octets = octets.split(b"'", 2)
        charset = label.decode("ascii", "replace")
    return decode_octets(unquote_to_bytes(octets), charset)
