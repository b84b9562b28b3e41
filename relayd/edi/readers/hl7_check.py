"""What in an HL7 message isn't as the standard wants it, beyond what its reading finds.

No finding holds a value of the message, except codes: findings go where the message may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from relayd.edi.hl7 import File, Message, Segment, has_unread_escape
from relayd.edi.model import Finding, Severity
from relayd.edi.names_hl7 import FLAGS, SEGMENTS, TABLES, name_of
from relayd.edi.readers.hl7_values import DELETED, VALUE_TYPES, moment, time

#: Fields that must be filled (HL7 2.5 chapters 2, 3, 4 and 7).
_REQUIRED: Final = {
    "MSH": (7, 9, 10, 11, 12), "PID": (3, 5), "OBR": (4,), "OBX": (3, 11), "ORC": (1,), "SPM": (4,), "MSA": (1, 2),
    "NK1": (1,), "AL1": (3,), "TXA": (2,), "EVN": (2,), "PV1": (2,),
}  # fmt: skip
_VERSIONS: Final = frozenset(
    {"2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1"}
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_STRUCTURED = re.compile(r"(?:<|>|<=|>=|=|<>)?(?:\^[+-]?[\d.]*(?:\^[-+/.:]?(?:\^[+-]?[\d.]*)?)?)?", re.ASCII)
#: OBX-8 besides the flags that we show: susceptibility, change, and others of table 0078.
_OTHER_FLAGS: Final = frozenset({"U", "D", "B", "W", "I", "MS", "VS", "NULL", "POS", "NEG"})

# Structures in the order of their segments: * any number, ? at most one. Every repetition takes all it can and gives
# nothing back, so that a structure is matched in one pass.
_STRUCTURES: Final = {
    "ORU": "MSH SFT* NTE* ((PID PD1? NTE* NK1* (PV1 PV2?)?)? (ORC? OBR NTE* (TQ1 TQ2*)* CTD? (OBX NTE*)*"
    " FT1* CTI* (SPM OBX*)*)*)* DSC?",
    "OUL": "MSH SFT* NTE? (PID PD1? NTE*)? (PV1 PV2?)? (SPM OBX* (SAC INV?)* (OBR ORC? NTE* (TQ1 TQ2*)*"
    " (OBX TCD? SID* NTE*)* CTI*)*)* DSC?",
    "OML": "MSH SFT* NTE* (PID PD1? NTE* NK1* (PV1 PV2?)? (IN1 IN2? IN3?)* GT1? AL1*)? (ORC (TQ1 TQ2*)*"
    " (OBR TCD? NTE* CTD? DG1* (OBX TCD? NTE*)* (SPM OBX* SAC*)*)? FT1* CTI* BLG?)*",
    "ACK": "MSH SFT* MSA? ERR*",
    "MDM": "MSH SFT* EVN PID PV1 (ORC (TQ1 TQ2*)* OBR NTE*)* TXA? (OBX NTE*)*",
}
#: The segment that a message of a type is about.
_SUBJECTS: Final = {"ORU": "OBR", "OUL": "SPM", "OML": "ORC", "ACK": "MSA", "MDM": "TXA", "ADT": "PID"}


@lru_cache
def _structure(code: str) -> re.Pattern[str]:
    """A structure as a pattern over tags, each with a space behind it."""
    written = re.sub(r"[A-Z][A-Z0-9]{2}", lambda tag: f"(?:{tag[0]}_)", _STRUCTURES[code]).replace(" ", "")
    possessive = re.sub(r"([*+?])(?!:)", r"\1+", re.sub(r"\((?!\?)", "(?:", written))
    return re.compile(possessive.replace("_", " "))


def strict(file: File) -> Iterator[Finding]:
    """The findings of all messages of a file."""
    for message in file.messages:
        yield from _line_ends(message)
        yield from _in_place(message)
        for segment in message.segments:
            yield from _segment(segment)
        yield from _numbered(message.segments)


def _line_ends(message: Message) -> Iterator[Finding]:
    if any(b"\n" in segment.octets for segment in message.segments):
        place = message.segments[0].place()
        yield Finding(Severity.NOTE, "Segments end in LF or CRLF; the standard has CR alone", place)


def _in_place(message: Message) -> Iterator[Finding]:
    header = message.header
    code = header.value(9).partition("_")[0] if header is not None else ""
    subject = _SUBJECTS.get(code, "MSH")
    if header is not None and all(segment.tag != subject for segment in message.segments):
        text = "The message lacks a segment that its type must have: %(tag)s"
        yield Finding(Severity.WARNING, text, header.place(), {"tag": subject})
    if code not in _STRUCTURES:
        return
    known = [segment for segment in message.segments if segment.tag in SEGMENTS]
    match = _structure(code).match("".join(f"{segment.tag} " for segment in known))
    taken = match.end() // 4 if match else 0
    if taken < len(known):
        text = "The segment isn't in its place in a message of this type: %(tag)s"
        yield Finding(Severity.WARNING, text, known[taken].place(), {"tag": known[taken].tag})


def _segment(segment: Segment) -> Iterator[Finding]:
    tag = segment.tag
    if tag not in SEGMENTS:
        text = "A segment of the sender's own" if tag[0] == "Z" else "The segment isn't known: %(tag)s"
        yield Finding(Severity.NOTE, text, segment.place(), {"tag": tag})
    if tag == "MSH":
        yield from _header(segment)
    for number in _REQUIRED.get(tag, ()):
        if not segment.raw(number).strip():
            named = {"name": name_of(tag, number).text}
            yield Finding(Severity.WARNING, "A required field is missing: %(name)s", segment.place(str(number)), named)
    if tag == "OBX":
        yield from _observation(segment)
    for number, raw in enumerate(segment.fields):
        if raw and number and not (tag == "MSH" and number <= 2):
            yield from _field(segment, number, raw)


def _header(segment: Segment) -> Iterator[Finding]:
    if segment.raw(2) not in ("^~\\&", "^~\\&#"):
        text = "Separators other than the usual ones; some receivers can't read them"
        yield Finding(Severity.NOTE, text, segment.place("2"))
    version = segment.value(12)
    if version and version not in _VERSIONS:
        text = "The version isn't known: %(code)s"
        yield Finding(Severity.WARNING, text, segment.place("12"), {"code": version[:20]})
    processing = segment.value(11)
    if processing and processing not in ("P", "T", "D"):
        text = "The processing isn't known: %(code)s"
        yield Finding(Severity.WARNING, text, segment.place("11"), {"code": processing[:20]})


def _field(segment: Segment, number: int, raw: str) -> Iterator[Finding]:
    place = segment.place(str(number))
    name = name_of(segment.tag, number)
    if (
        name.type == "TS"
        and raw != DELETED
        and any(not _is_moment(segment, each) for each in segment.repetitions(number))
    ):
        text = "This can't be a date or time: %(name)s"
        yield Finding(Severity.WARNING, text, place, {"name": name.text})
    if has_unread_escape(raw, segment.separators):
        yield Finding(Severity.NOTE, "An escape that isn't known or isn't closed; it is shown as it is written", place)
    table = TABLES.get((segment.tag, number))
    code = segment.value(number)
    if table and code and code not in table and (segment.tag, number) not in (("OBX", 11), ("ERR", 3)):
        text = "The code isn't in its table: %(code)s"
        yield Finding(Severity.NOTE, text, place, {"code": code[:20]})


def _is_moment(segment: Segment, raw: str) -> bool:
    value = segment.components(raw)[0].strip()
    return not value or moment(value) != value or len(value) == 4


def _observation(segment: Segment) -> Iterator[Finding]:
    type, raw = segment.value(2).upper(), segment.raw(5)
    if raw and not type:
        yield Finding(
            Severity.WARNING, "A required field is missing: %(name)s", segment.place("2"), {"name": "Value type"}
        )
    elif type and type not in VALUE_TYPES:
        text = "The type of a value isn't known: %(code)s"
        yield Finding(Severity.WARNING, text, segment.place("2"), {"code": type[:20]})
    if raw and raw != DELETED and any(not _fits(segment, type, each) for each in segment.repetitions(5)):
        text = "The value isn't what its type says: %(code)s"
        yield Finding(Severity.WARNING, text, segment.place("5"), {"code": type})
    for index in range(1, len(segment.repetitions(8)) + 1):
        flag = segment.value(8, repetition=index).upper()
        if flag and flag not in FLAGS and flag not in _OTHER_FLAGS:
            text = "The flag of a result isn't known: %(code)s"
            yield Finding(Severity.NOTE, text, segment.place("8"), {"code": flag[:20]})
    if raw and segment.value(11) in ("X", "I", "O"):
        text = "The result has a value, but by its status it can't have one: %(code)s"
        yield Finding(Severity.NOTE, text, segment.place("11"), {"code": segment.value(11)})


def _fits(segment: Segment, type: str, raw: str) -> bool:
    match type:
        case "NM":
            return not raw or _NUMBER.fullmatch(raw) is not None
        case "SN":
            return (
                _STRUCTURED.fullmatch(segment.unescape(raw).replace(segment.separators.component or "^", "^"))
                is not None
            )
        case "DT" | "TS" | "DTM":
            return _is_moment(segment, raw)
        case "TM":
            return not raw or time(raw) != raw
    return True


def _numbered(segments: Iterable[Segment]) -> Iterator[Finding]:
    """OBX-1 counts from 1 behind each OBR or SPM; senders that count on, or not at all, are left in peace."""
    last = 0
    for segment in segments:
        if segment.tag in ("OBR", "SPM", "PID"):
            last = 0
        elif segment.tag == "OBX" and segment.value(1).isdecimal():
            number = int(segment.value(1)[:9])
            if last and number <= last:
                yield Finding(Severity.NOTE, "The numbers of the observations don't go up", segment.place("1"))
                return
            last = number
