"""MEDLAB:1, the message of laboratory results that information systems of general practices read.

Its fields are short: 9 positions for a value and a unit, 30 for a name. What is longer goes below the result in OPB
lines of 70, and the value says "Zie onder", as Dutch laboratories do. What a result has and MEDLAB hasn't (a status
other than "changed", a flag other than below and above) goes there too. Words that we put into a message are Dutch:
its readers are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from relayd.edi.mapping import Mapping
from relayd.edi.model import Document, Embedded, Flag, Heading, Party, Place, Result, Results, Role, Status, Text
from relayd.edi.names import Label
from relayd.edi.writers import edifact

_NAME: Final = 30
_VALUE: Final = 9
_CODE: Final = 10
_BELOW: Final = "Zie onder"

_ONE_LIMIT = re.compile(r"([<>]) ?([0-9][0-9.,]*)")
_FINAL: Final = (Status.NONE, Status.FINAL)

_FLAGS: Final = {Flag.LOW: "<", Flag.HIGH: ">", Flag.VERY_LOW: "<", Flag.VERY_HIGH: ">"}
_FLAG_WORDS: Final = {
    Flag.VERY_LOW: "sterk verlaagd",
    Flag.VERY_HIGH: "sterk verhoogd",
    Flag.ABNORMAL: "afwijkend",
    Flag.NORMAL: "normaal",
}
_STATUS_WORDS: Final = {
    Status.PRELIMINARY: "voorlopige uitslag",
    Status.DELETED: "uitslag vervallen",
    Status.NOT_DONE: "niet uitgevoerd",
}


def write(
    documents: Sequence[Document], mapping: Mapping, sender: str = "", receiver: str = ""
) -> tuple[bytes, tuple[str, ...]]:
    """An interchange with a MEDLAB:1 for each document, and the characters that had to be written otherwise.

    ``sender`` and ``receiver`` are the numbers for UNB, where the documents' own won't do.
    """
    writer = edifact.open_interchange(documents, sender, receiver)
    for document in documents:
        _Message(writer, mapping).write(document)
    return writer.finish()


class _Message:
    def __init__(self, writer: edifact.Writer, mapping: Mapping) -> None:
        self._writer = writer
        self._mapping = mapping

    def write(self, document: Document) -> None:
        add = self._writer.add
        self._writer.begin("MEDLAB", document.reference, document.label)
        parties = {party.role: party for party in reversed(document.parties)}
        laboratory = parties.get(Role.LABORATORY) or parties.get(Role.SENDER) or Party(Role.LABORATORY)
        add(
            "ZKH",
            laboratory.organisation or edifact.written_name(laboratory.name) or edifact.system(document.sender),
            edifact.address(laboratory.address),
            next(iter(laboratory.telephones), ""),
            edifact.agb(laboratory),
        )
        edifact.add_patient(self._writer, document.patient)
        if document.patient:
            for pair in document.patient.others:
                if pair.label == Label.BLOOD:
                    add("BLG", pair.value)
        self._add_parties(document, laboratory, parties)
        tables = [block for block in document.blocks if isinstance(block, Results)] or [Results(())]
        texts = [line for block in document.blocks for line in _text(block)]
        for number, table in enumerate(tables, 1):
            self._add_table(number, table, document, texts if number == len(tables) else [])
        self._writer.end()

    def _add_parties(self, document: Document, laboratory: Party, parties: dict[Role, Party]) -> None:
        add = self._writer.add
        requester = parties.get(Role.REQUESTER) or parties.get(Role.PRACTITIONER)
        if requester is not None:
            name = requester.name
            parts = (name.own or name.written, name.own_prefix, name.initials, name.title) if name else ()
            said = next((pair.value for pair in requester.others if pair.label == Label.PRACTITIONER), "")
            kind = said[:1] or ("S" if requester.speciality else "H")
            telephone = next(iter(requester.telephones), "")
            add("ART", kind, edifact.agb(requester), parts, edifact.address(requester.address), telephone)
        add(
            "AFD",
            laboratory.department or laboratory.organisation or edifact.system(document.sender),
            *laboratory.telephones[1:2],
        )
        contacts = [party for party in document.parties if party.role is Role.CONTACT]
        for number, party in enumerate(contacts, 1):
            telephone = next(iter(party.telephones), "")
            person = edifact.written_name(party.name) or party.organisation
            add("ARA", person[:40], telephone, counters=(number,))
        copies = [edifact.written_name(party.name) for party in document.parties if party.role is Role.COPY]
        if copies:
            add("KOP", "NAAR", *(name[:40] for name in copies[:5]))

    def _add_table(self, number: int, table: Results, document: Document, texts: Sequence[str]) -> None:
        add = self._writer.add
        when = table.sampled or table.reported or document.dated
        add("DET", edifact.date(when), edifact.time(when), counters=(number,))
        complete = table.complete if table.complete is not None else not any(_is_pending(row) for row in table.rows)
        volume = next((pair.value for pair in table.others if pair.label in (Label.VOLUME, "Collection amount")), "")
        add(
            "IDE",
            "J" if complete else "N",
            table.number[:9].rstrip(),
            table.specimen[:12].rstrip(),
            volume[:8],
            counters=(1,),
        )
        before = [*_long("Labnummer", table.number, 9), *_long("Materiaal", table.specimen, 12), *table.notes]
        self._add_lines("OPM", [line for text in before for line in edifact.wrap(text)], (number,))
        section = 1
        if table.title:
            add("SEC", table.title[:_NAME], counters=(number, section))
        at = 0
        for row in table.rows:
            if isinstance(row, Result) and _is_pending(row):
                continue
            at += 1
            counters = (number, section, at)
            if isinstance(row, Heading) or is_bare(row):
                text = row.text if isinstance(row, Heading) else row.name
                add("BEP", "1", text[:_NAME], counters=counters)
                rest = edifact.wrap(text) if len(text) > _NAME else []
            else:
                rest = self._add_result(row, counters)
            self._add_lines("OPB", rest, counters)
        for each, row in enumerate((row for row in table.rows if _is_pending(row)), 1):
            assert isinstance(row, Result)
            add("NUB", row.name[:_NAME], counters=(number, each))
            rest = [*_long("Bepaling", row.name, _NAME), *row.notes]
            self._add_lines("OPU", [line for text in rest for line in edifact.wrap(text)], (number, each))
        self._add_lines("COM", [line for text in texts for line in edifact.wrap(text)], (number,))

    def _add_lines(self, tag: str, lines: Sequence[str], counters: tuple[int, ...]) -> None:
        for number, line in enumerate(lines, 1):
            self._writer.add(tag, line, counters=(*counters, number))

    def _add_result(self, row: Result, counters: tuple[int, ...]) -> list[str]:
        """Write BEP; returns the lines for below it."""
        value = row.values[0] if len(row.values) == 1 else ""
        is_long = len(row.values) > 1 or len(value) > _VALUE or "\n" in value
        lower, upper, other = _limits(row)
        unit = "" if len(row.unit) > _VALUE else row.unit
        low, high = ("" if len(limit) > _VALUE else limit for limit in (lower, upper))
        code = next((code.value for code in row.codes if code.system == "nhg"), "") or self._translated(row)
        shown = _BELOW if is_long else value
        changed = "1" if row.status is Status.CORRECTED else ""
        flag = _FLAGS.get(row.flag, "")
        self._writer.add(
            "BEP", "0", row.name[:_NAME], shown, changed, unit, flag, low, high, code[:_CODE], counters=counters
        )
        below = [*_long("Bepaling", row.name, _NAME), *(row.values if is_long else ())]
        if not unit and row.unit:
            below.append(f"Eenheid: {row.unit}")
        if other or (low, high) != (lower, upper):
            below.append(f"Referentiewaarden: {other or ' - '.join((lower, upper))}")
        if word := _FLAG_WORDS.get(row.flag, row.flag_text):
            below.append(f"Indicatie: {word}")
        if word := _STATUS_WORDS.get(row.status, ""):
            below.append(f"Status: {word}")
        below.extend(line for line in row.artefacts if not (is_long and line == _BELOW))
        below.extend(row.notes)
        return [line for text in below for line in edifact.wrap(text)]

    def _translated(self, row: Result) -> str:
        """NHG's code for a LOINC code, where the table has just one for the result's unit."""
        found = {
            known.code
            for code in row.codes
            if code.system == "loinc"
            for known in self._mapping.by_loinc(code.value)
            if known.unit in ("", row.unit)
        }
        return found.pop() if len(found) == 1 else ""


def is_bare(row: Result) -> bool:
    """It has a name and nothing else: a heading in a message that has no other form for one."""
    return (
        bool(row.name) and replace(row, status=Status.NONE, place=Place()) == Result(row.name) and row.status in _FINAL
    )


def _limits(row: Result) -> tuple[str, str, str]:
    """The lower limit, the upper one, and the range as text where it isn't those. ">60" is a lower limit."""
    match = _ONE_LIMIT.fullmatch(row.range)
    if match is None or row.low or row.high:
        return row.low, row.high, row.range
    return (match[2], "", "") if match[1] == ">" else ("", match[2], "")


def _is_pending(row: Result | Heading) -> bool:
    return isinstance(row, Result) and row.status is Status.PENDING and not row.values


def _long(label: str, text: str, most: int) -> list[str]:
    """A line with what was cut off, where something was."""
    return [f"{label}: {text}"] if len(text) > most else []


def _text(block: object) -> tuple[str, ...]:
    if isinstance(block, Embedded):
        return (f"Bijlage in het oorspronkelijke bericht: {block.name} ({block.media_type})",)
    if isinstance(block, Text):
        return block.lines
    return (block.text,) if isinstance(block, Heading) else ()
