r"""HL7 version 2 to and from its XML (HL7 Version 2: XML Encoding Syntax; namespace ``urn:hl7-org:v2xml``).

A field is ``<PID.3>``, repeated for each repetition; a component is named by its type, ``<CX.1>``. What has no type
that we know is named by its place: ``<ZPI.3.2>``. Going back only the numbers count, so XML that names components
by place everywhere is read as well. A message goes there and back with every field, repetition and component where
it was, the empty ones at the end included. These change in their octets, and in nothing else: line ends (CR),
characters that were escaped without need, a backslash that is no escape (``\E\``), a line end inside a field
(``\.br\``), and a character set that MSH-18 doesn't name rightly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from relayd.edi import hl7
from relayd.edi.model import Finding, Place, Severity
from relayd.edi.v2types import Group, component_type, field_type, is_composite, structure
from relayd.edi.xmltree import MOST_SKIPPED, Node, write_attributes, write_text

NAMESPACE: Final = "urn:hl7-org:v2xml"
#: The root where a file has several messages, or an envelope.
FILE: Final = "HL7File"

_TAG = re.compile(r"[A-Z][A-Z0-9]{2}")
_NAME = re.compile(r"[A-Z][A-Z0-9]{0,9}(?:_[A-Z0-9]{1,9})?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def to_xml(file: hl7.File) -> tuple[bytes, tuple[Finding, ...]]:
    """A file as XML in UTF-8, and what of it has no place there."""
    pieces = [piece for piece in file.pieces if not isinstance(piece, hl7.Outside)]
    findings = [
        Finding(Severity.WARNING, "Text outside the messages is not converted")
        for piece in file.outside
        if piece.octets.strip(b"\0\t\n\r \x0b\x1a\x1c\xef\xbb\xbf")
    ]
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    is_message = len(pieces) == 1 and isinstance(pieces[0], hl7.Message)
    if not is_message:
        out.append(f'<{FILE} xmlns="{NAMESPACE}">\n')
    for piece in pieces:
        if isinstance(piece, hl7.Message):
            _write_message(out, piece, f' xmlns="{NAMESPACE}"' if is_message else "")
        else:
            _write_segment(out, piece)
    if not is_message:
        out.append(f"</{FILE}>\n")
    return "".join(out).encode(), tuple(findings)


def _write_message(out: list[str], message: hl7.Message, attributes: str) -> None:
    name = _structure_name(message.header)
    out.append(f"<{name}{attributes}>\n")
    top = structure(name)
    places = [] if top is None else [_Open(top)]
    for segment in message.segments:
        if places:
            _move(out, places, segment.tag)
        _write_segment(out, segment)
    out.extend(f"</{place.group.name}>\n" for place in reversed(places[1:]))
    out.append(f"</{name}>\n")


def _structure_name(header: hl7.Segment | None) -> str:
    """MSH-9.3, or made of 9.1 and 9.2: the root's name."""
    if header is None:
        return "MESSAGE"
    code, event, named = (header.value(9, component) for component in (1, 2, 3))
    name = named or (f"{code}_{event}" if event else code)
    return name if _NAME.fullmatch(name) else "MESSAGE"


class _Open:
    """A group that is being written, and which of its members was last."""

    __slots__ = ("at", "group")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.at = 0


def _move(out: list[str], places: list[_Open], tag: str) -> None:
    """Close and open groups so that ``tag`` stands in its own. One that has no place stays where it came."""
    for depth in range(len(places) - 1, -1, -1):
        if (path := _path(places[depth], tag)) is None:
            continue
        out.extend(f"</{place.group.name}>\n" for place in reversed(places[depth + 1 :]))
        del places[depth + 1 :]
        places[depth].at = path[0]
        for group in path[1]:
            out.append(f"<{group.name}>\n")
            places.append(_Open(group))
        for place in places[depth + 1 :]:
            place.at = _member(place.group, tag, 0) or 0
        return


def _path(place: _Open, tag: str) -> tuple[int, list[Group]] | None:
    """Which member of an open group ``tag`` belongs to, from where it is, and the groups down to it."""
    at = _member(place.group, tag, place.at)
    if at is None:
        return None
    groups: list[Group] = []
    member = place.group.members[at]
    while isinstance(member, Group):
        groups.append(member)
        member = member.members[_member(member, tag, 0) or 0]
    return at, groups


def _member(group: Group, tag: str, start: int) -> int | None:
    members = group.members
    for at in range(start, len(members)):
        if members[at] == tag:
            return at
    for at in range(start, len(members)):
        member = members[at]
        if isinstance(member, Group) and tag in member.tags:
            return at
    return None


def _write_segment(out: list[str], segment: hl7.Segment) -> None:
    tag, fields = segment.tag, segment.fields
    out.append(f"<{tag}>")
    for number in range(1, len(fields)):
        raw = fields[number]
        if not raw and number < len(fields) - 1:
            continue
        name = f"{tag}.{number}"
        if tag in hl7.HEADERS and number <= 2:
            out.append(f"<{name}>{write_text(raw)}</{name}>")
            continue
        data_type = field_type(tag, number)
        if data_type == "varies":
            data_type = segment.value(2)
        for repetition in segment.repetitions(number) or [""]:
            _write_value(out, segment, name, repetition, data_type, 0)
    out.append(f"</{tag}>\n")


def _write_value(out: list[str], segment: hl7.Segment, name: str, raw: str, data_type: str, depth: int) -> None:
    """A repetition (depth 0), component (1) or sub-component (2) with all that is in it."""
    if not raw:
        out.append(f"<{name}/>")
        return
    parts = [raw] if depth == 2 else segment.components(raw) if depth == 0 else segment.subcomponents(raw)
    # A simple first component may have sub-components all the same.
    is_simple = len(parts) == 1 and not is_composite(data_type)
    if is_simple and (depth or len(segment.subcomponents(raw)) == 1):
        out.append(f"<{name}>{_write_leaf(raw, segment.separators)}</{name}>")
        return
    out.append(f"<{name}>")
    base = data_type if is_composite(data_type) else name
    for number, part in enumerate(parts, 1):
        if part or number == len(parts) > 1:
            inner = component_type(data_type, number) if is_composite(data_type) else ""
            _write_value(out, segment, f"{base}.{number}", part, inner, depth + 1)
    out.append(f"</{name}>")


@lru_cache(maxsize=16)
def _escapes(mark: str) -> re.Pattern[str]:
    quoted = re.escape(mark)
    return re.compile(rf"{quoted}(?:([FSTRE])|([HN]|\.[A-Za-z]{{2}}[^{quoted}]{{0,8}}|[XCMZ][^{quoted}]*)){quoted}")


def _write_leaf(raw: str, separators: hl7.Separators) -> str:
    """A value with the separators' escapes resolved and others as ``<escape V="..."/>``."""
    mark = separators.escape
    if not mark or mark not in raw:
        return _write_plain(raw)
    out: list[str] = []
    at = 0
    for match in _escapes(mark).finditer(raw):
        out.append(_write_plain(raw[at : match.start()]))
        at = match.end()
        if match[1]:
            out.append(_write_plain(hl7.unescape(match[0], separators)))
        else:
            out.append(f"<escape{write_attributes({'V': match[2]})}/>")
    out.append(_write_plain(raw[at:]))
    return "".join(out)


def _write_plain(text: str) -> str:
    """Character data; a control character that XML can't hold as the escape that HL7 has for it."""
    if not _CONTROL.search(text):
        return write_text(text)
    controls = iter(_CONTROL.findall(text))
    return "".join(
        write_text(part) + (f'<escape V="X{ord(control):02X}"/>' if (control := next(controls, "")) else "")
        for part in _CONTROL.split(text)
    )


def is_v2(root: Node) -> bool:
    """Whether a document is HL7 version 2: by its namespace, or by an MSH with its fields where that is missing."""
    if NAMESPACE in root.attributes.values():
        return True
    return any(field.local == "MSH.1" for node in root.nodes if node.local == "MSH" for field in node.nodes)


def from_xml(root: Node) -> tuple[bytes, tuple[Finding, ...]]:
    """The messages of a document as they are written in HL7, a CR behind each segment, and what had no place."""
    findings: list[Finding] = []
    messages = [_Message(hl7.USUAL)]
    for node in _segments(root):
        if node.local in hl7.HEADERS:
            messages.append(_Message(_separators(node)))
        messages[-1].segments.append(_read_segment(node, messages[-1].separators, findings))
    return b"".join(_encode(message, findings) for message in messages), tuple(findings)


class _Message:
    """A message, or an envelope's segments, as it will be written: the fields of each segment, the tag first.

    A header's separator is between its fields, so that MSH-n is at n - 1.
    """

    def __init__(self, separators: hl7.Separators) -> None:
        self.separators = separators
        self.segments: list[list[str]] = []


def _segments(node: Node) -> Iterator[Node]:
    for inner in node.nodes:
        if _TAG.fullmatch(inner.local):
            yield inner
        else:
            yield from _segments(inner)


def _separators(header: Node) -> hl7.Separators:
    """What MSH.1 and MSH.2 say, judged as in a message; the usual ones where that can't be."""
    written = {node.local[4:]: node.text.strip() for node in header.nodes}
    mark = written.get("1", "")[:1]
    start = f"MSH{mark}{written.get('2', '')}{mark}"
    messages = hl7.split(start.encode("latin-1", "replace")).messages if mark else []
    return messages[0].separators if messages else hl7.USUAL


def _read_segment(node: Node, separators: hl7.Separators, findings: list[Finding]) -> list[str]:
    """The fields as they are written, the tag first."""
    fields: dict[int, list[str]] = {}
    place = Place(line=node.line, tag=node.local)
    if node.text.strip():
        findings.append(Finding(Severity.WARNING, "Text between the elements has no place in HL7", place))
    highest = 0
    for inner in node.nodes:
        number = _number(inner, highest, place, findings)
        if node.local in hl7.HEADERS and number <= 2:
            continue
        if number:
            fields.setdefault(number, []).append(_read_value(inner, separators, 0, findings))
            highest = max(highest, number)
    if node.local in hl7.HEADERS:
        fields[2] = [separators.encoding_characters()]
    # With no separator for repetitions there is none in the message; what a document repeats then takes the usual.
    repetition = separators.repetition or hl7.USUAL.repetition
    start = 2 if node.local in hl7.HEADERS else 1
    return [node.local, *(repetition.join(fields.get(at, [])) for at in range(start, max(fields, default=0) + 1))]


def _number(node: Node, highest: int, place: Place, findings: list[Finding]) -> int:
    """The position of a field or component; 0 where it has none, or one far behind the ``highest`` before it."""
    number = node.position
    if not 0 < number <= highest + MOST_SKIPPED:
        text = "An element of the XML has no place in HL7: %(name)s"
        findings.append(Finding(Severity.ERROR, text, Place(node.line, tag=place.tag), {"name": node.local[:40]}))
        return 0
    return number


def _read_value(node: Node, separators: hl7.Separators, depth: int, findings: list[Finding]) -> str:
    inner = [child for child in node.nodes if child.local != "escape"]
    place = Place(line=node.line, tag=node.local.partition(".")[0])
    if not inner:
        return _read_leaf(node, separators)
    if depth == 2 or node.text.strip():
        findings.append(Finding(Severity.WARNING, "Text between the elements has no place in HL7", place))
    if depth == 2:
        return ""
    mark = separators.component if depth == 0 else separators.subcomponent
    parts: dict[int, str] = {}
    highest = 0
    for child in inner:
        number = _number(child, highest, place, findings)
        if number in parts:
            text = "An element of the XML has no place in HL7: %(name)s"
            findings.append(Finding(Severity.ERROR, text, place, {"name": child.local[:40]}))
        elif number:
            parts[number] = _read_value(child, separators, depth + 1, findings)
            highest = max(highest, number)
    usual = hl7.USUAL.component if depth == 0 else hl7.USUAL.subcomponent
    return (mark or usual).join(parts.get(at, "") for at in range(1, max(parts, default=0) + 1))


def _read_leaf(node: Node, separators: hl7.Separators) -> str:
    mark = separators.escape
    out: list[str] = []
    for child in node.children:
        if isinstance(child, str):
            out.append(hl7.escape(child, separators))
        elif child.local == "escape":
            out.append(f"{mark}{child.attributes.get('V', '')}{mark}")
    return "".join(out)


def _encode(message: _Message, findings: list[Finding]) -> bytes:
    """A message in the character set that its MSH-18 names; else in UTF-8, which MSH-18 then says."""
    separators, segments = message.separators, message.segments
    if not segments:
        return b""
    text = _join(message)
    header = segments[0] if segments[0][0] == "MSH" else []
    claimed = header[17].partition(separators.repetition or "~")[0] if len(header) > 17 else ""
    try:
        return text.encode(hl7.character_set(claimed) or "ascii")
    except UnicodeEncodeError:
        pass
    if header:
        header.extend([""] * (18 - len(header)))
        header[17] = "UNICODE UTF-8"
        text = _join(message)
        findings.append(Finding(Severity.NOTE, "The message is written in UTF-8, and MSH-18 says so now"))
    return text.encode("utf-8", "replace")


def _join(message: _Message) -> str:
    return "".join(message.separators.field.join(fields) + "\r" for fields in message.segments)
