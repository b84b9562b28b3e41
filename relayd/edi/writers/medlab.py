"""MEDLAB:1, the message of laboratory results that information systems of general practices read.

Its fields are short: 9 positions for a value and a unit, 30 for a name. What is longer goes below the result in OPB
lines of 70, and the value says "Zie onder", as Dutch laboratories do. What a result has and MEDLAB hasn't (a status
other than "changed", a flag other than below and above) goes there too. Words that we put into a message are Dutch:
its readers are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from relayd.edi.mapping import Mapping
from relayd.edi.model import Document, Flag, Heading, Party, Result, Results, Role, Status
from relayd.edi.names import Label
from relayd.edi.writers import edifact
from relayd.edi.writers.edifact import cut, shown
from relayd.edi.writers.envelope import Envelope
from relayd.edi.writers.remarks import described, outside_tables, said, written_name

#: The longest name of a test or a section, value, unit or limit, and code; a sample's number, material and volume.
_NAME, _VALUE, _CODE = 30, 9, 10
_NUMBER, _MATERIAL, _VOLUME = 9, 12, 8
_PERSON: Final = 40
_BELOW: Final = "Zie onder"

#: HL7's name of what MEDLAB calls a volume.
_VOLUMES: Final = (Label.VOLUME, "Collection amount")
_FLAGS: Final = {Flag.LOW: "<", Flag.HIGH: ">", Flag.VERY_LOW: "<", Flag.VERY_HIGH: ">"}
_FLAG_WORDS: Final = {
    Flag.VERY_LOW: "sterk verlaagd",
    Flag.VERY_HIGH: "sterk verhoogd",
    Flag.ABNORMAL: "afwijkend",
    Flag.NORMAL: "normaal",
    Flag.SUSCEPTIBLE: "gevoelig",
    Flag.RESISTANT: "resistent",
}
_STATUS_WORDS: Final = {
    Status.PRELIMINARY: "voorlopige uitslag",
    Status.DELETED: "uitslag vervallen",
    Status.NOT_DONE: "niet uitgevoerd",
    Status.PENDING: "uitslag volgt nog",
}
_ONE_LIMIT = re.compile(r"([<>]) ?([0-9][0-9.,]*)")


def write(documents: Sequence[Document], mapping: Mapping, envelope: Envelope) -> tuple[bytes, tuple[str, ...]]:
    """An interchange with a MEDLAB:1 for each document, and the characters that had to be written otherwise."""
    writer = edifact.open_interchange(documents, envelope)
    for document in documents:
        _Message(writer, mapping).write(document, envelope)
    return writer.finish()


class _Message:
    def __init__(self, writer: edifact.Writer, mapping: Mapping) -> None:
        self._writer = writer
        self._mapping = mapping

    def write(self, document: Document, envelope: Envelope) -> None:
        self._writer.begin("MEDLAB", document.reference, document.label)
        parties = {party.role: party for party in reversed(document.parties)}
        unnamed = Party(Role.LABORATORY, organisation=envelope.sender or edifact.system(document.sender))
        laboratory = parties.get(Role.LABORATORY) or parties.get(Role.SENDER) or unnamed
        requester = parties.get(Role.REQUESTER) or parties.get(Role.PRACTITIONER)
        self._add_laboratory(laboratory)
        edifact.add_patient(self._writer, document.patient)
        patient_others = document.patient.others if document.patient else ()
        for pair in patient_others:
            if pair.label == Label.BLOOD:
                self._writer.add("BLG", pair.value)
        if requester is not None:
            self._add_requester(requester)
        self._writer.add("AFD", laboratory.department or _name_of(laboratory), *laboratory.telephones[1:2])
        contacts = [party for party in document.parties if party.role is Role.CONTACT]
        # AFD and ARA must be there.
        for number, party in enumerate(contacts or [laboratory], 1):
            telephone = next(iter(party.telephones), "") if contacts else ""
            self._writer.add("ARA", cut(_name_of(party), _PERSON), telephone, counters=(number,))
        copies = [party for party in document.parties if party.role is Role.COPY][:5]
        if copies:
            self._writer.add("KOP", "NAAR", *(cut(_name_of(party), _PERSON) for party in copies))
        # Who has no segment, or more to say than his has places for.
        placed = {id(party) for party in (laboratory, requester, *contacts, *copies)}
        others = [described(party) for party in document.parties if id(party) not in placed or _has_more(party)]
        others += [said(pair) for pair in patient_others if pair.label not in edifact.PATIENT_LABELS]
        tables = [block for block in document.blocks if isinstance(block, Results)] or [Results(())]
        for number, table in enumerate(tables, 1):
            self._add_table(number, table, document.dated or envelope.dated)
        self._add_lines("COM", [*others, *outside_tables(document)], (len(tables),))
        self._writer.end()

    def _add_laboratory(self, laboratory: Party) -> None:
        telephone, number = next(iter(laboratory.telephones), ""), edifact.number_of(laboratory)
        address = edifact.address(laboratory.address)
        self._writer.add("ZKH", _name_of(laboratory), address, telephone, number)

    def _add_requester(self, requester: Party) -> None:
        name = requester.name
        parts = (name.own or name.written, name.own_prefix, name.initials, name.title) if name else ()
        kind = next((pair.value for pair in requester.others if pair.label == Label.PRACTITIONER), "")
        kind = kind[:1] or ("S" if requester.speciality else "H")
        telephone = next(iter(requester.telephones), "")
        number = edifact.number_of(requester)
        self._writer.add("ART", kind, number, parts, edifact.address(requester.address), telephone)

    def _add_table(self, number: int, table: Results, dated: str) -> None:
        when = table.sampled or table.reported or dated
        self._writer.add("DET", edifact.date(when), edifact.time(when), counters=(number,))
        is_complete = table.complete if table.complete is not None else not any(map(_is_pending, table.rows))
        volume = next((pair.value for pair in table.others if pair.label in _VOLUMES), "")
        sample = (cut(table.number, _NUMBER), cut(table.specimen, _MATERIAL), cut(volume, _VOLUME))
        self._writer.add("IDE", "J" if is_complete else "N", *sample, counters=(1,))
        remarks = [
            *_long("Labnummer", table.number, _NUMBER),
            *_long("Materiaal", table.specimen, _MATERIAL),
            *_long("Volume", volume, _VOLUME),
            *_long("Sectie", table.title, _NAME),
            *table.notes,
        ]
        self._add_lines("OPM", remarks, (number,))
        if table.title:
            self._writer.add("SEC", cut(table.title, _NAME), counters=(number, 1))
        rows = [row for row in table.rows if not _is_pending(row)]
        for at, row in enumerate(rows, 1):
            self._add_row(row, (number, 1, at))
        pending = [row for row in table.rows if isinstance(row, Result) and _is_pending(row)]
        for at, row in enumerate(pending, 1):
            self._writer.add("NUB", cut(row.name, _NAME), counters=(number, at))
            self._add_lines("OPU", [*_long("Bepaling", row.name, _NAME), *row.artefacts, *row.notes], (number, at))

    def _add_lines(self, tag: str, texts: Iterable[str], counters: tuple[int, ...]) -> None:
        lines = [line for text in texts for line in edifact.wrap(text)]
        for number, line in enumerate(lines, 1):
            self._writer.add(tag, line, counters=(*counters, number))

    def _add_row(self, row: Result | Heading, counters: tuple[int, ...]) -> None:
        if isinstance(row, Result) and not row.is_bare:
            self._add_result(row, counters)
            return
        text = row.name if isinstance(row, Result) else row.text
        self._writer.add("BEP", "1", cut(text, _NAME), counters=counters)
        self._add_lines("OPB", [text] if _is_long(text, _NAME) else [], counters)

    def _add_result(self, row: Result, counters: tuple[int, ...]) -> None:
        value, below = _value(row)
        lower, upper, other = _limits(row)
        limits = "" if _is_long(lower, _VALUE) else lower, "" if _is_long(upper, _VALUE) else upper
        self._writer.add(
            *("BEP", "0", cut(row.name, _NAME), value),
            "1" if row.status is Status.CORRECTED else "",
            "" if _is_long(row.unit, _VALUE) else row.unit,
            _FLAGS.get(row.flag, ""),
            *limits,
            self._code(row),
            counters=counters,
        )
        range_ = other if limits == (lower, upper) else f"{lower} - {upper}"
        remarks = [
            *_long("Bepaling", row.name, _NAME),
            *below,
            *_long("Eenheid", row.unit, _VALUE),
            *_given("Referentiewaarden", range_),
            *_given("Indicatie", _FLAG_WORDS.get(row.flag, row.flag_text if row.flag is Flag.OTHER else "")),
            *_given("Status", _STATUS_WORDS.get(row.status, "")),
            *row.notes,
        ]
        self._add_lines("OPB", remarks, counters)

    def _code(self, row: Result) -> str:
        """NHG's code; for a LOINC code the one that the table has, if it has just one for the result's unit."""
        own = next((code.value for code in row.codes if code.system == "nhg"), "")
        if own:
            return "" if _is_long(own, _CODE) else own
        found = {
            known.code
            for code in row.codes
            if code.system == "loinc"
            for known in self._mapping.by_loinc(code.value)
            if known.unit in ("", row.unit)
        }
        return found.pop() if len(found) == 1 else ""


def _value(row: Result) -> tuple[str, Sequence[str]]:
    """What stands in the field of the value, and the lines for below it."""
    if len(row.values) > 1 or any(_is_long(value, _VALUE) or "\n" in value for value in row.values):
        artefacts = row.artefacts[row.artefacts[:1] == (_BELOW,) :]
        return _BELOW, (*artefacts, *row.values)
    if row.values:
        return row.values[0], row.artefacts
    # A value that stood below already: its words for that are where they were.
    first = row.artefacts[0] if row.artefacts and not _is_long(row.artefacts[0], _VALUE) else ""
    return first, row.artefacts[bool(first) :]


def _limits(row: Result) -> tuple[str, str, str]:
    """The lower limit, the upper one, and the range as text where it isn't those. ">60" is a lower limit."""
    match = _ONE_LIMIT.fullmatch(row.range)
    if match is None or row.low or row.high:
        return row.low, row.high, row.range
    return (match[2], "", "") if match[1] == ">" else ("", match[2], "")


def _is_pending(row: Result | Heading) -> bool:
    return isinstance(row, Result) and row.status is Status.PENDING and not (row.values or row.unit)


def _name_of(party: Party) -> str:
    return party.organisation or written_name(party.name)


def _has_more(party: Party) -> bool:
    """There is something about it that its segment has no place for."""
    match party.role:
        case Role.LABORATORY | Role.SENDER:
            return bool(len(party.telephones) > 2 or len(party.identifiers) > 1 or party.others)
        case Role.REQUESTER | Role.PRACTITIONER:
            more = party.organisation or party.department or party.speciality
            return bool(more or len(party.telephones) > 1 or len(party.identifiers) > 1)
        case Role.CONTACT | Role.COPY:
            return bool(_is_long(_name_of(party), _PERSON) or party.address or party.identifiers or party.department)
    return True


def _is_long(text: str, most: int) -> bool:
    return len(shown(text)) > most


def _long(label: str, text: str, most: int) -> list[str]:
    """A line with what was cut off, where something was."""
    return [f"{label}: {text}"] if _is_long(text, most) else []


def _given(label: str, text: str) -> list[str]:
    return [f"{label}: {text}"] if text else []
