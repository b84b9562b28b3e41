"""What a conversion lost: what was written is read again, and what the first reading says is looked for in it.

So the report doesn't depend on the writers. A result is compared with its counterpart field by field. Everything
else counts as kept where its text is found anywhere in the new message, as a field or inside a remark. A finding
names what is lost and where it stood, never its value.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum

from relayd.edi import charset
from relayd.edi.model import (
    Document,
    Embedded,
    Fields,
    Finding,
    Flag,
    Heading,
    Identifier,
    Pair,
    Party,
    Patient,
    PersonName,
    Place,
    Result,
    Results,
    Severity,
    Status,
    Text,
    Unread,
)

LOST = "Not carried over: %(what)s"
MOVED = "Carried over as a remark: %(what)s"
ALTERED = "Carried over in another form: %(what)s"

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\s,;:()]+")
#: What every message has anew and says nothing of its own, by tag and element.
_PLUMBING = {("ORC", "1"), ("OBX", "2")}
#: Shorter texts are found by accident inside others.
_SHORT = 3
#: The positions for a test's name in MEDLAB.
_NAME = 30


def losses(source: Sequence[Document], target: Sequence[Document]) -> tuple[Finding, ...]:
    """What of ``source`` isn't in ``target``, in the order of the source. Documents correspond by their order."""
    findings: list[Finding] = []
    for at, document in enumerate(source):
        if at < len(target):
            findings.extend(_Comparison(document, target[at]).findings())
        else:
            findings.append(_finding(Severity.ERROR, LOST, _What.MESSAGE, Place()))
    return tuple(findings)


def labels() -> frozenset[str]:
    """Every text that a finding may have, and those of ours that name what was lost: keys of translation."""
    return frozenset({LOST, MOVED, ALTERED, *(text for name, text in vars(_What).items() if name.isupper())})


class _What:
    """What can be lost; other things are called by their own labels."""

    ADDRESS = "Address"
    BIRTH_DATE = "Birth date"
    CODE = "Code of a result"
    DATE = "Date of the message"
    DOCUMENT = "Document inside the message"
    FLAG = "Flag"
    HEADING = "Heading"
    LABEL = "Label of the message"
    LOWER = "Lower limit"
    MESSAGE = "Message"
    NAME = "Name"
    NUMBER = "Number"
    ORGANISATION = "Organisation"
    RANGE = "Reference range"
    REFERENCE = "Reference of the message"
    REMARK = "Remark"
    REPORTED = "Time of the report"
    RESULT = "Result"
    RESULT_NAME = "Name of a result"
    SAMPLE_NUMBER = "Number of the sample"
    SAMPLED = "Time of the sample"
    SPECIMEN = "Specimen"
    STATUS = "Status"
    TELEPHONE = "Telephone"
    TEXT = "Text"
    TIME = "Time of a result"
    TITLE = "Title"
    UNIT = "Unit of a result"
    UPPER = "Upper limit"
    VALUE = "Value of a result"


def _finding(severity: Severity, text: str, what: str, place: Place) -> Finding:
    return Finding(severity, text, place, {"what": what})


class _Comparison:
    def __init__(self, source: Document, target: Document) -> None:
        self._source = source
        self._target = target
        self._values = {_plain(text) for text in texts(target)}
        # Lines that were wrapped are found too: they follow each other.
        self._whole = " ".join(_plain(text) for text in texts(target))
        self._words = set(_WORD.findall(self._whole))

    def findings(self) -> Iterator[Finding]:
        for what, value, place in self._outside_results():
            if not self._has(value):
                yield _finding(Severity.WARNING, LOST, what, place)
        for block in self._source.blocks:
            if isinstance(block, Embedded):
                yield _finding(Severity.WARNING, LOST, _What.DOCUMENT, block.place)
        yield from self._results()

    def _has(self, value: str) -> bool:
        plain = _plain(value)
        if not plain or plain in self._values or plain in self._words:
            return True
        return len(plain) >= _SHORT and plain in self._whole

    def _outside_results(self) -> Iterator[tuple[str, str, Place]]:
        document = self._source
        yield _What.REFERENCE, document.reference, Place()
        yield _What.DATE, _minute(document.dated), Place()
        yield _What.LABEL, document.label, Place()
        if document.patient is not None:
            yield from _patient(document.patient)
        for party in document.parties:
            yield from _party(party)
        for block in document.blocks:
            if isinstance(block, Heading):
                yield _What.HEADING, block.text, block.place
            elif isinstance(block, Text):
                yield from ((_What.TEXT, line, block.place) for line in block.lines)
            elif isinstance(block, Fields):
                yield from _pairs(block.pairs)
            elif isinstance(block, Results):
                yield from _table(block)
            elif isinstance(block, Unread) and not _is_plumbing(block):
                yield block.name or block.tag, block.written, block.place
                yield from ((element.name or block.tag, element.value, block.place) for element in block.elements)

    def _results(self) -> Iterator[Finding]:
        """Each result beside the next one of its name; one of which only the name was left looks like a heading."""
        full, bare = defaultdict[str, deque[Result]](deque), defaultdict[str, deque[Result]](deque)
        for row in _rows(self._target):
            if isinstance(row, Result):
                (bare if row.is_bare else full)[_key(row)].append(row)
        for row in _rows(self._source):
            if isinstance(row, Heading) or row.is_bare:
                continue
            found = full[_key(row)] or bare[_key(row)]
            if found:
                yield from self._result(row, found.popleft())
            elif all(map(self._has, (row.name, *row.values, row.unit, row.low, row.high))):
                # Texts of one name on lines of their own are read as one result.
                yield _finding(Severity.NOTE, ALTERED, _What.RESULT, row.place)
            else:
                yield _finding(Severity.ERROR, LOST, _What.RESULT, row.place)

    def _result(self, row: Result, other: Result) -> Iterator[Finding]:
        remarks = _plain(" ".join((*other.notes, *other.artefacts)))
        pairs = (
            (_What.RESULT_NAME, row.name, other.name),
            (_What.VALUE, "\n".join(row.values), "\n".join(other.values)),
            (_What.UNIT, row.unit, other.unit),
            (_What.LOWER, row.low, other.low),
            (_What.UPPER, row.high, other.high),
            (_What.RANGE, row.range, other.range),
        )
        for what, value, now in pairs:
            if not value or _plain(value) == _plain(now) or _is_limit(what, row, other):
                continue
            if value in other.artefacts or (what == _What.VALUE and set(row.values) <= set(other.values)):
                continue
            kept = _plain(value) in remarks
            yield _finding(Severity.NOTE if kept else Severity.ERROR, MOVED if kept else LOST, what, row.place)
        yield from self._marks(row, other, remarks)
        carried = {code.value for code in other.codes}
        for code in row.codes:
            if code.value and code.value not in carried and _plain(code.value) not in remarks:
                yield _finding(Severity.WARNING, LOST, _What.CODE, row.place)
        for line in (*row.notes, *row.artefacts):
            if _plain(line) not in remarks and not self._has(line):
                yield _finding(Severity.ERROR, LOST, _What.REMARK, row.place)
        if row.observed and not self._has(row.observed):
            yield _finding(Severity.WARNING, LOST, _What.TIME, row.place)
        for pair in row.others:
            if _plain(pair.value) not in remarks and not self._has(pair.value):
                yield _finding(Severity.WARNING, LOST, pair.label, pair.place)

    def _marks(self, row: Result, other: Result, remarks: str) -> Iterator[Finding]:
        """Flag and status, which may have been written in words."""
        is_flag = row.flag is not other.flag or (row.flag is Flag.OTHER and row.flag_text != other.flag_text)
        for what, is_changed, word in (
            (_What.FLAG, is_flag, "Indicatie:"),
            (_What.STATUS, _status(row) is not _status(other), "Status:"),
        ):
            if is_changed and word in remarks:
                yield _finding(Severity.NOTE, ALTERED, what, row.place)
            elif is_changed:
                yield _finding(Severity.ERROR, LOST, what, row.place)


def _key(row: Result) -> str:
    """The name as far as every form has it."""
    return _plain(row.name)[:_NAME].rstrip()


def _status(row: Result) -> Status:
    """A result of which nothing is said is final."""
    return Status.FINAL if row.status is Status.NONE else row.status


def _is_limit(what: str, row: Result, other: Result) -> bool:
    """A single limit is ">60" as a range in one form, and the lower limit in the other."""
    match what:
        case _What.LOWER:
            return _plain(other.range).replace(" ", "") == f">{row.low}"
        case _What.UPPER:
            return _plain(other.range).replace(" ", "") == f"<{row.high}"
        case _What.RANGE:
            return _plain(row.range).replace(" ", "") in (f">{other.low}", f"<{other.high}")
    return False


def _rows(document: Document) -> Iterator[Result | Heading]:
    for block in document.blocks:
        if isinstance(block, Results):
            yield from block.rows


def _table(table: Results) -> Iterator[tuple[str, str, Place]]:
    yield _What.TITLE, table.title, table.place
    yield _What.SAMPLE_NUMBER, table.number, table.place
    yield _What.SPECIMEN, table.specimen, table.place
    yield _What.SAMPLED, _minute(table.sampled), table.place
    yield _What.REPORTED, _minute(table.reported), table.place
    yield from ((_What.REMARK, line, table.place) for line in table.notes)
    yield from _pairs(table.others)
    yield from ((_What.HEADING, row.text, row.place) for row in table.rows if isinstance(row, Heading))
    yield from ((_What.HEADING, row.name, row.place) for row in table.rows if isinstance(row, Result) and row.is_bare)


def _patient(patient: Patient) -> Iterator[tuple[str, str, Place]]:
    yield from _name(_What.NAME, patient.name)
    yield _What.BIRTH_DATE, patient.birth_date, Place()
    yield from _identifiers(_What.NUMBER, patient.identifiers)
    if patient.address is not None:
        yield from ((_What.ADDRESS, value, Place()) for value in texts(patient.address))
    yield from ((_What.TELEPHONE, number, Place()) for number in patient.telephones)
    yield from _pairs(patient.others)


def _party(party: Party) -> Iterator[tuple[str, str, Place]]:
    yield from _name(_What.NAME, party.name)
    for value in (party.organisation, party.department, party.speciality):
        yield _What.ORGANISATION, value, Place()
    if party.address is not None:
        yield from ((_What.ADDRESS, value, Place()) for value in texts(party.address))
    yield from ((_What.TELEPHONE, number, Place()) for number in party.telephones)
    yield from _identifiers(_What.NUMBER, party.identifiers)
    yield from _pairs(pair for pair in party.others if not pair.meaning)


def _name(what: str, name: PersonName | None) -> Iterator[tuple[str, str, Place]]:
    if name is None:
        return
    parts = (name.own, name.own_prefix, name.partner, name.partner_prefix, name.initials, name.given, name.title)
    # The whole name says nothing more where there are parts.
    yield from ((what, part, Place()) for part in (parts if any(parts) else (name.written,)))


def _identifiers(what: str, identifiers: Iterable[Identifier]) -> Iterator[tuple[str, str, Place]]:
    return ((what, identifier.value, Place()) for identifier in identifiers)


def _pairs(pairs: Iterable[Pair]) -> Iterator[tuple[str, str, Place]]:
    return (
        (pair.label, pair.value, pair.place) for pair in pairs if (pair.place.tag, pair.place.element) not in _PLUMBING
    )


def _is_plumbing(block: Unread) -> bool:
    """What only systems need, and every message has anew."""
    return block.tag in ("MSH", "UNH", "UNT", "SFT")


def _minute(when: str) -> str:
    """A time to the minute, as both forms have it."""
    return when[:16]


def _plain(text: str) -> str:
    """As EDIFACT would write it, with single spaces: so that "€" is found in "EUR"."""
    if not text.isascii():
        text = charset.encode(text)[0].decode("iso-8859-1")
    return _SPACE.sub(" ", text).strip()


def texts(value: object) -> Iterator[str]:
    """Every text of a value of the model."""
    if isinstance(value, str):
        if not isinstance(value, Enum) and value:
            yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from texts(each)
    elif is_dataclass(value) and not isinstance(value, Finding | Place):
        for field in fields(value):
            yield from texts(getattr(value, field.name))
