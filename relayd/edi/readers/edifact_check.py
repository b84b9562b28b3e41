"""What is wrong with an EDIFACT message. :func:`interchange` and :func:`message` have what any reader should know;
:func:`strictly` has all that the specifications of the Dutch messages of version 1 want besides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relayd.edi import numbers
from relayd.edi.edifact import Interchange, Message, Repair, Segment
from relayd.edi.model import Finding, Place, Severity
from relayd.edi.names import KINDS, Dialect, Rule, Says, segment_rule
from relayd.edi.readers.taking import EMPTY, Taken, iso_digits, line, moment, place, position, time_apart

_REPAIRS = {
    Repair.NO_TERMINATOR: (Severity.WARNING, Says.NO_TERMINATOR),
    Repair.NOT_RELEASED: (Severity.WARNING, Says.NOT_RELEASED),
    Repair.CUT: (Severity.ERROR, Says.CUT),
}
_FORMAT = re.compile(r"(an|a|n)(\.\.)?(\d+)")
_SEGMENT_IN_TEXT = re.compile(r"[\r\n][A-Z]{3}(?::\d{1,4})*\+")
_ISO = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d)?)?)?)?")
#: Segments of one line of text.
_LINES = frozenset({"TXT", "VRG", "VRS", "CON", "ADD", "OPM", "OPB", "OPU", "COM"})

#: What may stand behind what in the messages of version 1: UNH is where a message begins, UNT where it ends.
_GROUP_OF_RESULTS = {
    "DET": "IDE",
    "IDE": "OPM SEC BEP NUB COM DET UNT",
    "OPM": "OPM SEC BEP NUB COM DET UNT",
    "SEC": "SEC BEP NUB COM DET UNT",
    "BEP": "BEP OPB SEC NUB COM DET UNT",
    "OPB": "OPB BEP SEC NUB COM DET UNT",
    "NUB": "NUB OPU COM DET UNT",
    "OPU": "OPU NUB COM DET UNT",
    "COM": "COM DET UNT",
}
_FOLLOWERS = {
    "MEDVRI": {
        "UNH": "GGA",
        "GGA": "DET",
        "DET": "PID PAD TXT",
        "PID": "PAD TXT",
        "PAD": "TXT",
        "TXT": "TXT GGO UNT",
        "GGO": "UNT",
    },
    "MEDLAB": {
        "UNH": "ZKH",
        "ZKH": "PID",
        "PID": "PAD BLG ART AFD",
        "PAD": "BLG ART AFD",
        "BLG": "ART AFD",
        "ART": "AFD",
        "AFD": "ARA",
        "ARA": "ARA KOP DET",
        "KOP": "DET",
        **_GROUP_OF_RESULTS,
    },
    "MEDRAD": {
        "UNH": "ZKH",
        "ZKH": "PID",
        "PID": "PAD ART AFD",
        "PAD": "ART AFD",
        "ART": "AFD",
        "AFD": "ARA",
        "ARA": "ARA DET",
        "DET": "KOP VRG OND",
        "KOP": "VRG OND",
        "VRG": "VRG OND",
        "OND": "OND VRS",
        "VRS": "VRS CON ADD UNT",
        "CON": "CON ADD UNT",
        "ADD": "ADD UNT",
    },
    "MEDSPE": {
        "UNH": "ART",
        "ART": "ART SPE",
        "SPE": "ZKH AFD PID PAD DET",
        "ZKH": "AFD PID PAD DET",
        "AFD": "PID PAD DET",
        "PID": "PAD DET",
        "PAD": "DET",
        "DET": "KOP REF TXT",
        "KOP": "REF TXT",
        "REF": "TXT",
        "TXT": "TXT CON UNT",
        "CON": "CON UNT",
    },
}
_REQUIRED = {
    "MEDVRI": ("GGA", "DET", "TXT"),
    "MEDLAB": ("ZKH", "PID", "AFD", "ARA", "DET", "IDE"),
    "MEDRAD": ("ZKH", "PID", "AFD", "ARA", "DET", "OND", "VRS"),
    "MEDSPE": ("ART", "SPE", "DET", "TXT"),
}
#: Coded values by tag and element; what else stands there isn't understood.
_CODES = {
    ("PID", 2): {"M", "V"},
    ("ART", 1): {"H", "S"},
    ("KOP", 1): {"VAN", "NAAR"},
    ("IDE", 1): {"J", "N"},
    ("BEP", 1): {"0", "1"},
    ("BEP", 6): {"<", ">"},
}


def interchange(found: Interchange) -> Iterator[Finding]:
    """What concerns the envelope."""
    unb, unz, messages = found.header, found.trailer, list(found.messages())
    first = place(found.segments[0]) if found.segments else Place(found.line)
    if len(found.una) == 8:
        yield Finding(Severity.NOTE, Says.UNA_SHORT, first)
    if found.una and found.syntax.una[3:6] != found.una[3:6]:
        yield Finding(Severity.WARNING, Says.UNA_BAD, first)
    for segment in found.envelope:
        yield from _repair(segment)
    if unb is None:
        yield Finding(Severity.NOTE, Says.NO_UNB, first)
    else:
        yield from _header(unb)
        if unz is None:
            yield Finding(Severity.WARNING, Says.NO_UNZ, place(found.segments[-1]))
    if not messages:
        yield Finding(Severity.ERROR, Says.NO_MESSAGE, first)
    if unz is None:
        return
    groups = [segment for segment in found.envelope if segment.tag == "UNG"]
    count = len(groups) or len([message for message in messages if message.head])
    yield from _count(unz, Says.UNZ_COUNT, count)
    if unb:
        yield from _reference(unz, Says.UNZ_REFERENCE, unb.get(6 if time_apart(unb) else 5))


def message(found: Message) -> Iterator[Finding]:
    """What may have cost meaning, and counts and references that disagree."""
    head, tail = found.head, found.tail
    if head is None:
        yield Finding(Severity.ERROR, Says.NO_UNH, place(found.segments[0]))
    for segment in found.segments:
        if segment.repair:
            yield from _repair(segment)
        if segment.raw and not segment.tag:
            yield Finding(Severity.ERROR, Says.NO_SEGMENT, place(segment))
    if tail is None:
        yield Finding(Severity.WARNING, Says.NO_UNT, place(found.segments[-1]))
        return
    yield from _count(tail, Says.UNT_COUNT, len(found.segments))
    if head:
        yield from _reference(tail, Says.UNT_REFERENCE, head.get(1))


def strictly(found: Message, kind: str, version: str, dialect: Dialect, year: int) -> Iterator[Finding]:
    """What else isn't as specified. ``year`` is that of the interchange."""
    if kind not in KINDS and found.head:
        yield Finding(Severity.NOTE, Says.UNKNOWN_TYPE, place(found.segments[0]), {"type": kind})
    followers = _FOLLOWERS.get(kind, {}) if dialect is Dialect.VERSION_1 and version.split(":")[0] == "1" else {}
    if followers:
        yield from _order(found, kind, followers)
    for segment in found.body:
        if not segment.raw:
            yield Finding(Severity.NOTE, Says.EMPTY, place(segment))
            continue
        if not segment.tag:
            continue
        if _SEGMENT_IN_TEXT.search(segment.written):
            yield Finding(Severity.WARNING, Says.TERMINATOR_LOST, place(segment))
        rule = segment_rule(dialect, segment.tag)
        if rule is None and not re.fullmatch(r"S\d\d", segment.tag):
            yield Finding(Severity.WARNING, Says.UNKNOWN_SEGMENT, place(segment), {"tag": segment.tag})
        elif rule and dialect is Dialect.VERSION_1:
            yield from _version_1(segment, rule.elements, year)
        elif segment.tag == "DTM" and not iso_digits(segment.get(1, 2), year):
            yield Finding(Severity.WARNING, Says.BAD_DATE, place(segment, "1.2"), {"name": "Date and time"})
        elif segment.tag in ("PNA", "RFF"):
            yield from _bsn_of(segment)


def _order(found: Message, kind: str, followers: dict[str, str]) -> Iterator[Finding]:
    previous, seen = "UNH", set()
    for segment in found.segments:
        tag = segment.tag
        if tag in followers and tag != "UNH":
            seen.add(tag)
        if tag == "UNH" or (tag not in followers and tag != "UNT"):
            if tag and tag != "UNH" and segment_rule(Dialect.VERSION_1, tag):
                yield Finding(Severity.WARNING, Says.UNKNOWN_SEGMENT, place(segment), {"tag": tag})
            continue
        if tag not in followers[previous].split() and previous != "UNH":
            values = {"tag": tag, "previous": previous}
            yield Finding(Severity.WARNING, Says.ORDER, place(segment), values)
        previous = tag if tag != "UNT" else previous
    for tag in _REQUIRED[kind]:
        if tag not in seen:
            yield Finding(Severity.WARNING, Says.MISSING_SEGMENT, place(found.segments[0]), {"tag": tag})


def _version_1(segment: Segment, rules: tuple[Rule, ...], year: int) -> Iterator[Finding]:
    tag, elements = segment.tag, segment.elements
    if tag in _LINES:
        if len(elements) > 1 or any(len(parts) > 1 for parts in elements):
            yield Finding(Severity.WARNING, Says.NOT_JOINED, place(segment, "1"))
        yield from _value(segment, "1", rules[0], line(segment))
        return
    taken = Taken(segment, Dialect.VERSION_1)
    for at, rule in enumerate(rules, 1):
        if not rule.components:
            yield from _value(segment, str(at), rule, taken.text(at))
            continue
        parts = taken.parts(at, len(rule.components))
        if not any(parts):
            yield from _value(segment, str(at), Rule(rule.name, "", rule.required), "")
            continue
        for component, (inner, value) in enumerate(zip(rule.components, parts, strict=True), 1):
            yield from _value(segment, f"{at}.{component}", inner, value)
    for further in taken.rest():
        yield Finding(Severity.NOTE, Says.FURTHER, further.place)
    yield from _meaning(segment, Taken(segment, Dialect.VERSION_1), year)


def _value(segment: Segment, where: str, rule: Rule, value: str) -> Iterator[Finding]:
    if not value:
        if rule.required:
            yield Finding(Severity.WARNING, Says.MISSING, place(segment, where), {"name": rule.name})
        return
    match = _FORMAT.fullmatch(rule.format)
    if match is None:
        return
    says = ""
    if len(value) > int(match[3]):
        says = Says.TOO_LONG
    elif match[1] == "n" and not (value.isascii() and value.isdigit()):
        says = Says.WRONG_FORM
    if says:
        yield Finding(Severity.WARNING, says, place(segment, where), {"name": rule.name, "format": rule.format})


def _meaning(segment: Segment, taken: Taken, year: int) -> Iterator[Finding]:
    tag = segment.tag
    for (of, at), known in _CODES.items():
        if of == tag and (value := taken.text(at)) and value not in known:
            rule = segment_rule(Dialect.VERSION_1, tag)
            name = rule.elements[at - 1].name if rule else ""
            yield Finding(Severity.NOTE, Says.BAD_CODE, place(segment, str(at)), {"name": name})
    if tag == "DET":
        yield from _date(segment, "Date and time", moment(taken.parts(1, 3), taken.parts(2, 3), year))
    elif tag == "PID":
        yield from _date(segment, "Date of birth", moment(taken.parts(1, 3), ["", "", ""], year - 10))
        number = taken.text(5)
        if number.upper().startswith("BSN") and not numbers.bsn_sound(number[3:].strip()):
            yield Finding(Severity.WARNING, Says.BAD_BSN, place(segment, "5"))
    elif tag in ("ART", "SPE"):
        at = 2 if tag == "ART" else 3
        if (code := taken.text(at)) and not numbers.agb_shaped(code):
            yield Finding(Severity.NOTE, Says.BAD_AGB, place(segment, str(at)))


def _date(segment: Segment, name: str, found: str) -> Iterator[Finding]:
    if found and not _ISO.fullmatch(found):
        yield Finding(Severity.WARNING, Says.BAD_DATE, place(segment, "1"), {"name": name})


def _bsn_of(segment: Segment) -> Iterator[Finding]:
    for at, parts in enumerate(segment.elements, 1):
        given = [part for part in parts if part and part != EMPTY]
        number = given[0] if given[-1:] == ["LZB"] else given[1] if given[:1] == ["LZB"] and len(given) > 1 else "-"
        if number not in ("-", "LZB") and not numbers.bsn_sound(number):
            component = parts.index(number) + 1
            where = place(segment, position(segment.elements, at, component))
            yield Finding(Severity.WARNING, Says.BAD_BSN, where)


def _header(unb: Segment) -> Iterator[Finding]:
    apart = time_apart(unb)
    for at, name in ((2, "Sender"), (3, "Receiver"), (6 if apart else 5, "Reference")):
        if not unb.get(at).strip():
            yield Finding(Severity.WARNING, Says.MISSING, place(unb, str(at)), {"name": name})
    made = unb.get(4, 1) + (unb.get(5) if apart else unb.get(4, 2))
    if not iso_digits(made, 2030):
        yield Finding(Severity.WARNING, Says.BAD_DATE, place(unb, "4"), {"name": "Prepared"})


def _repair(segment: Segment) -> Iterator[Finding]:
    if segment.repair:
        yield Finding(*_REPAIRS[segment.repair], place(segment))


def _count(trailer: Segment, says: str, found: int) -> Iterator[Finding]:
    said = trailer.get(1).strip()
    if not (said.isascii() and said.isdigit() and said.lstrip("0") == str(found)):
        yield Finding(Severity.WARNING, says, place(trailer, "1"), {"said": said, "found": str(found)})


def _reference(trailer: Segment, says: str, found: str) -> Iterator[Finding]:
    said = trailer.get(2).strip()
    if said != found.strip():
        yield Finding(Severity.WARNING, says, place(trailer, "2"), {"said": said, "found": found})
