"""EDIFACT to and from XML that loses nothing: going back gives the same octets.

::

    BEP:1:1:2+0+Kreatinine+142'      <BEP><BEP.00><BEP.00.1>1</BEP.00.1>…</BEP.00><BEP.01><BEP.01.1>0</BEP.01.1>…</BEP>

An element is named by its segment and position, a component by its own behind that; element 00 has the counters
behind the tag. The root, EDIFACTInterchange, has the separators as attributes, under the names that other programs
give them; a message without UNB is an EDIFACTMessage, and EDIFACTFile holds what a file has besides one of them.

What the separators don't determine stands in attributes, and only where it isn't as usual: ``before`` (what stands
in front of a segment), ``terminated``, and ``written`` (a segment that would be written otherwise, such as with
characters released without need). What XML can't hold stands as hexadecimal in an attribute whose name ends in
"Octets". ``written`` counts only while it says the same as the elements, so that XML may be changed by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from relayd.edi import charset
from relayd.edi.edifact import Interchange, Outside, Segment, Syntax, Transmission
from relayd.edi.model import Finding, Place, Severity
from relayd.edi.xmltree import MOST_SKIPPED, Node, allowed, write_attributes, write_text

INTERCHANGE: Final = "EDIFACTInterchange"
MESSAGE: Final = "EDIFACTMessage"
FILE: Final = "EDIFACTFile"
ROOTS: Final = frozenset({INTERCHANGE, MESSAGE, FILE})
_OUTSIDE: Final = "Outside"
#: A segment whose tag can't be the name of an element; it has its tag as an attribute.
_SEGMENT: Final = "Segment"

_TAG = re.compile(r"[A-Z][A-Z0-9]{2}")
_SEPARATORS: Final = {
    "segmentDelimiter": "terminator",
    "elementDelimiter": "element",
    "subelementDelimiter": "component",
    "releaseCharacter": "release",
    "decimalMark": "decimal",
}


def to_xml(transmission: Transmission, name: str) -> bytes:
    """A file as XML in UTF-8. ``name`` is the character set that it was read in."""
    interchanges = transmission.interchanges
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    if len(interchanges) == 1 and not transmission.outside:
        at = transmission.parts.index(interchanges[0])
        around = {
            **_octets("before", b"".join(map(bytes, transmission.parts[:at])), name),
            **_octets("after", b"".join(map(bytes, transmission.parts[at + 1 :])), name),
        }
        _write_interchange(out, interchanges[0], name, {"charset": name, **around})
    else:
        out.append(f"<{FILE}{write_attributes({'charset': name})}>\n")
        for part in transmission.parts:
            if isinstance(part, Outside):
                out.append(f"<{_OUTSIDE}{write_attributes(_octets('written', part.octets, name))}/>\n")
            else:
                _write_interchange(out, part, name, {})
        out.append(f"</{FILE}>\n")
    return "".join(out).encode()


def _write_interchange(out: list[str], interchange: Interchange, name: str, more: Mapping[str, str]) -> None:
    syntax, una = interchange.syntax, interchange.una
    usual = Counter(segment.before for segment in interchange.segments[1:]).most_common(1)
    between = usual[0][0] if usual else b""
    root = INTERCHANGE if una or interchange.header is not None else MESSAGE
    attributes: dict[str, str] = {}
    for attribute, part in _SEPARATORS.items():
        attributes |= _octets(attribute, getattr(syntax, part), "iso-8859-1") or {attribute: ""}
    attributes |= {"repetitionSeparator": "", "una": "true" if una else "false"}
    if una and una != syntax.una:
        attributes |= _octets("unaWritten", una, "iso-8859-1")
    attributes |= _octets("lineEnd", between, name)
    out.append(f"<{root}{write_attributes({**attributes, **more})}>\n")
    usual_before = between if una else b""
    for segment in interchange.segments:
        _write_segment(out, segment, usual_before, name)
        usual_before = between
    out.append(f"</{root}>\n")


def _write_segment(out: list[str], segment: Segment, usual_before: bytes, name: str) -> None:
    element = segment.tag if _TAG.fullmatch(segment.tag) else _SEGMENT
    attributes = {} if element == segment.tag else {"tag": segment.tag}
    if segment.before != usual_before:
        attributes |= _octets("before", segment.before, name) or {"before": ""}
    if not segment.terminator:
        attributes["terminated"] = "false"
    parts = segment.syntax.split(segment.raw) if segment.tag else []
    if not segment.tag or _join(segment.syntax, parts, name) != segment.raw or not allowed(segment.written):
        attributes |= _octets("written", segment.raw, name)
    out.append(f"<{element}{write_attributes(attributes)}>")
    if parts and len(parts[0]) > 1:
        _write_element(out, f"{element}.00", parts[0][1:], is_counters=True)
    for number, components in enumerate(parts[1:], 1):
        _write_element(out, f"{element}.{number:02}", components)
    out.append(f"</{element}>\n")


def _write_element(out: list[str], name: str, components: list[str], is_counters: bool = False) -> None:
    if components == [""] and not is_counters:
        out.append(f"<{name}/>")
        return
    out.append(f"<{name}>")
    for number, value in enumerate(components, 1):
        inner = f"{name}.{number}"
        out.append(f"<{inner}>{write_text(value)}</{inner}>" if value else f"<{inner}/>")
    out.append(f"</{name}>")


def _octets(attribute: str, octets: bytes, name: str) -> dict[str, str]:
    """Octets as an attribute: as text where that gives them back, else in hexadecimal; none where there are none."""
    if not octets:
        return {}
    text = charset.text(octets, name)
    if allowed(text) and _encode(text, name) == octets:
        return {attribute: text}
    return {f"{attribute}Octets": octets.hex()}


def _encode(text: str, name: str) -> bytes | None:
    try:
        return text.encode(name)
    except (UnicodeEncodeError, LookupError):
        return None


def _join(syntax: Syntax, parts: Iterable[list[str]], name: str) -> bytes | None:
    try:
        return syntax.join(parts)
    except UnicodeEncodeError:
        return None


def from_xml(root: Node) -> tuple[bytes, tuple[Finding, ...]]:
    """The octets of a document of one of our :data:`ROOTS`, and what had no place in them."""
    findings: list[Finding] = []
    name = _known(root.attributes.get("charset", ""))
    if root.local != FILE:
        octets = _read_interchange(root, name, findings)
        return _attribute(root, "before", name) + octets + _attribute(root, "after", name), tuple(findings)
    out = []
    for node in root.nodes:
        if node.local == _OUTSIDE:
            out.append(_attribute(node, "written", name))
        else:
            out.append(_read_interchange(node, name, findings))
    return b"".join(out), tuple(findings)


def _known(name: str) -> str:
    """A character set that Python knows and that has ASCII in its lower half; ISO 8859-1 where there is none."""
    try:
        return name if "A+'".encode(name) == b"A+'" else "iso-8859-1"
    except (LookupError, UnicodeError, TypeError, ValueError):
        return "iso-8859-1"


def _attribute(node: Node, attribute: str, name: str) -> bytes:
    if hexadecimal := node.attributes.get(f"{attribute}Octets"):
        try:
            return bytes.fromhex(hexadecimal)
        except ValueError:
            return b""
    text = node.attributes.get(attribute, "")
    octets = _encode(text, name)
    return charset.encode(text)[0] if octets is None else octets


def _read_interchange(root: Node, name: str, findings: list[Finding]) -> bytes:
    syntax = _syntax(root, name)
    is_usual = syntax == Syntax(charset=name, decimal=syntax.decimal)
    has_una = root.attributes.get("una", "false" if is_usual else "true").lower() == "true"
    una = (_attribute(root, "unaWritten", "iso-8859-1") or syntax.una) if has_una else b""
    between = _attribute(root, "lineEnd", name)
    usual_before = between if has_una else b""
    out = [una]
    for node in root.nodes:
        has_before = "before" in node.attributes or "beforeOctets" in node.attributes
        out.append(_attribute(node, "before", name) if has_before else usual_before)
        out.append(_read_segment(node, syntax, findings))
        out.append(b"" if node.attributes.get("terminated") == "false" else syntax.terminator)
        usual_before = between
    return b"".join(out)


def _syntax(root: Node, name: str) -> Syntax:
    found = {
        part: _attribute(root, attribute, "iso-8859-1")[:1]
        for attribute, part in _SEPARATORS.items()
        if attribute in root.attributes or f"{attribute}Octets" in root.attributes
    }
    # Separators that can't be told from each other are taken as they are: a message that came so goes back so.
    return Syntax(**{part: mark for part, mark in found.items() if mark or part == "release"}, charset=name)


def _read_segment(node: Node, syntax: Syntax, findings: list[Finding]) -> bytes:
    tag = node.attributes.get("tag", "") if node.local == _SEGMENT else node.local
    written = _attribute(node, "written", syntax.charset)
    parts = _parts(node, tag, findings)
    if written and (not tag or _same(syntax.split(written), parts)):
        return written
    octets = _join(syntax, parts, syntax.charset)
    if octets is not None:
        return octets
    plain: list[list[str]] = []
    for components in parts:
        encoded = [charset.encode(value) for value in components]
        plain.append([octets.decode("iso-8859-1") for octets, _ in encoded])
        for changed in {character for _, characters in encoded for character in characters}:
            text = "A character that the character set lacks is written otherwise: %(character)s"
            place = Place(line=node.line, tag=tag)
            findings.append(Finding(Severity.WARNING, text, place, {"character": changed}))
    return Syntax(syntax.component, syntax.element, syntax.decimal, syntax.release, syntax.terminator).join(plain)


def _same(written: list[list[str]], parts: list[list[str]]) -> bool:
    """Equal, but for what XML can't hold, and what a sender wrote between the tag and the first separator."""
    if not written[0][0].startswith(parts[0][0]):
        return False
    written[0][0] = parts[0][0]
    return [[_held(value) for value in part] for part in written] == [
        [_held(value) for value in part] for part in parts
    ]


def _held(value: str) -> str:
    return value if allowed(value) else "".join(c if allowed(c) else "\ufffd" for c in value)


def _parts(node: Node, tag: str, findings: list[Finding]) -> list[list[str]]:
    """The elements by their positions; the first has the tag with its counters."""
    elements: dict[int, list[str]] = {}
    last = 0
    for element in node.nodes:
        number = element.position
        is_counters = not number and element.local.endswith(".00")
        if number in elements or not (number or is_counters) or number - last > MOST_SKIPPED:
            _has_no_place(element, tag, findings)
            continue
        last = max(last, number)
        components: dict[int, str] = {}
        highest = 0
        for component in element.nodes:
            at = component.position
            if not at or at in components or component.nodes or at - highest > MOST_SKIPPED:
                _has_no_place(component, tag, findings)
            else:
                components[at], highest = component.text, max(highest, at)
        # A program may leave the level of components out.
        if not components and element.text.strip():
            components[1] = element.text
        elements[number] = [components.get(at, "") for at in range(1, max(components, default=1) + 1)]
    rows = [elements.get(number, [""]) for number in range(1, max(elements, default=0) + 1)]
    return [[tag, *elements.get(0, [])], *rows]


def _has_no_place(node: Node, tag: str, findings: list[Finding]) -> None:
    text = "An element of the XML has no place in EDIFACT: %(name)s"
    findings.append(Finding(Severity.ERROR, text, Place(node.line, tag=tag), {"name": node.local[:40]}))
