r"""ORU^R01 in HL7 2.5: laboratory results for systems that read HL7.

An ORC and OBR for each table, an OBX for each result, its remarks in NTE behind it. A heading is an OBX without a
value. Who has no field of his own in ORU^R01 (the laboratory and its address, people to ask) stands in NTE behind PID,
so that a reader still has it. Values are copied as text: NM is said only of what is a plain number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from relayd.edi import hl7
from relayd.edi.mapping import Mapping
from relayd.edi.model import (
    Address,
    Code,
    Document,
    Flag,
    Heading,
    Identifier,
    Party,
    Patient,
    PersonName,
    Result,
    Results,
    Role,
    Status,
)
from relayd.edi.names import Label
from relayd.edi.writers.envelope import Envelope
from relayd.edi.writers.remarks import described, outside_tables, said

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_AMOUNT = re.compile(r"([0-9][0-9.,]*) ([^ ]+)")
_ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,4})?)?)?)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII
)

_FLAGS: Final = {
    Flag.LOW: "L", Flag.HIGH: "H", Flag.VERY_LOW: "LL", Flag.VERY_HIGH: "HH", Flag.ABNORMAL: "A", Flag.NORMAL: "N",
    Flag.SUSCEPTIBLE: "S", Flag.RESISTANT: "R",
}  # fmt: skip
_STATUSES: Final = {
    Status.NONE: "F", Status.FINAL: "F", Status.PRELIMINARY: "P", Status.CORRECTED: "C", Status.PENDING: "I",
    Status.DELETED: "D", Status.NOT_DONE: "X",
}  # fmt: skip
_SEXES: Final = {"male": "M", "female": "F", "other": "O", "unknown": "U"}
#: Names of coding systems (table 0396); NHG's codes are local ones there.
_SYSTEMS: Final = {"loinc": "LN", "snomed": "SCT", "nhg": "99NHG"}
_LOCAL: Final = "L"


def write(documents: Sequence[Document], mapping: Mapping, envelope: Envelope) -> tuple[bytes, tuple[str, ...]]:
    """A message for each document, in ISO 8859-1 or else in UTF-8; nothing has to be written otherwise."""
    return b"".join(_Message(mapping).write(document, envelope) for document in documents), ()


def _escaped(*components: str) -> str:
    """Components with their escapes; empty ones at the end are left out."""
    return "^".join(hl7.escape(component) for component in components).rstrip("^")


class _Message:
    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._segments: list[str] = []

    def write(self, document: Document, envelope: Envelope) -> bytes:
        text = self._text(document, envelope, "8859/1")
        try:
            return text.encode("iso-8859-1")
        except UnicodeEncodeError:
            return self._text(document, envelope, "UNICODE UTF-8").encode("utf-8", "replace")

    def _text(self, document: Document, envelope: Envelope, charset: str) -> str:
        self._segments = []
        self._add_header(document, envelope, charset)
        patient = document.patient or Patient()
        if document.patient is not None:
            self._add_patient(patient)
        requester = _requester(document)
        others = [said(pair) for pair in patient.others if pair.label != Label.SENDERS_REFERENCE]
        people = [party for party in document.parties if party is not requester and not _is_copy(party)]
        self._add_notes([*others, *map(described, people), *outside_tables(document)])
        tables = [block for block in document.blocks if isinstance(block, Results)] or [Results(())]
        for number, table in enumerate(tables, 1):
            self._add_table(number, table, document, requester)
        return "".join(f"{segment}\r" for segment in self._segments)

    def _add(self, tag: str, fields: dict[int, str]) -> None:
        written = "|".join(fields.get(number, "") for number in range(1, max(fields) + 1)).rstrip("|")
        self._segments.append(f"{tag}|{written}")

    def _add_notes(self, texts: Iterable[str]) -> None:
        """Remarks on the segment before, a line each."""
        lines = [line for text in texts for line in text.split("\n")]
        for number, line in enumerate(lines, 1):
            self._add("NTE", {1: str(number), 2: "L", 3: _escaped(line)})

    def _add_header(self, document: Document, envelope: Envelope, charset: str) -> None:
        reference = document.reference or envelope.reference or "1"
        # MSH-1 is the separator itself: here a field stands one place before its number.
        fields = {1: "^~\\&", 6: _time(document.dated or envelope.dated), 8: "ORU^R01^ORU_R01", 9: _escaped(reference)}
        fields |= {10: "T" if document.test else "P", 11: "2.5", 14: "AL", 15: "NE", 16: "NLD", 17: charset}
        for at, given, own in ((2, envelope.sender, document.sender), (4, envelope.receiver, document.receiver)):
            application, mark, facility = own.partition("^")
            fields[at] = _escaped(application) if mark else ""
            fields[at + 1] = _escaped(given or (facility if mark else own))
        self._add("MSH", fields)

    def _add_patient(self, patient: Patient) -> None:
        own = [Identifier("", pair.value) for pair in patient.others if pair.label == Label.SENDERS_REFERENCE]
        fields = {
            1: "1",
            3: "~".join(_identifier(each) for each in (*patient.identifiers, *own)),
            5: _name(patient.name),
            7: _time(patient.birth_date),
            8: _escaped(_SEXES.get(patient.sex, patient.sex)),
            11: _address(patient.address, "M"),
            13: "~".join(f"{hl7.escape(number)}^PRN^PH" for number in patient.telephones),
        }
        self._add("PID", fields)

    def _add_table(self, at: int, table: Results, document: Document, requester: Party | None) -> None:
        status = table.status
        if status is Status.NONE:
            is_pending = any(isinstance(row, Result) and row.status is Status.PENDING for row in table.rows)
            status = Status.PRELIMINARY if table.complete is False or is_pending else Status.FINAL
        provider = _provider(requester) if requester else ""
        number = _escaped(table.number)
        self._add("ORC", {1: "RE", 3: number, 12: provider} | (_facility(requester) if requester else {}))
        self._add(
            "OBR",
            {
                1: str(at),
                3: number,
                4: _escaped("", table.title or "Laboratoriumonderzoek"),
                7: _time(table.sampled),
                16: provider,
                22: _time(table.reported or document.dated),
                25: _STATUSES[status],
                # Once is enough: many copies times many tables would be a very large message.
                28: "~".join(_provider(party) for party in document.parties if _is_copy(party)) if at == 1 else "",
            },
        )
        others = [said(pair) for pair in table.others if pair.label != Label.VOLUME and pair.place.tag != "ORC"]
        self._add_notes([*table.notes, *others])
        for row_number, row in enumerate(table.rows, 1):
            self._add_row(row_number, row)
        self._add_specimen(table)

    def _add_specimen(self, table: Results) -> None:
        volume = next((pair.value for pair in table.others if pair.label == Label.VOLUME), "")
        if not (table.specimen or volume):
            return
        amount = _AMOUNT.fullmatch(volume)
        fields = {1: "1", 4: _escaped("", table.specimen)}
        self._add("SPM", fields | ({12: _escaped(amount[1], amount[2])} if amount else {14: _escaped(volume)}))

    def _add_row(self, number: int, row: Result | Heading) -> None:
        if isinstance(row, Heading):
            self._add("OBX", {1: str(number), 2: "TX", 3: _escaped("", row.text), 11: "F"})
            return
        # "Zie onder" is no value, but it stands where the receiver looks for one, as it did.
        values = row.values or row.artefacts[:1]
        is_number = len(values) == 1 and _NUMBER.fullmatch(values[0])
        fields = {
            1: str(number),
            2: "NM" if is_number else "FT" if any("\n" in value for value in values) else "ST",
            3: self._codes(row),
            5: "~".join(hl7.escape(value) for value in values),
            6: _escaped(row.unit),
            7: _escaped(_range(row)),
            8: _FLAGS.get(row.flag) or _escaped(row.flag_text),
            11: _STATUSES[row.status],
            14: _time(row.observed),
        }
        self._add("OBX", fields)
        self._add_notes((*row.artefacts[not row.values :], *row.notes, *map(said, row.others)))

    def _codes(self, row: Result) -> str:
        """The code that the receiver most likely knows, and the sender's own; both with a name."""
        codes = [*self._translated(row), *row.codes]
        codes.sort(key=lambda code: code.system != "loinc")
        parts: list[str] = []
        for code in codes[:2]:
            text = code.text if parts and code.text else row.name
            parts += [code.value, text, _SYSTEMS.get(code.system, code.system or _LOCAL)]
        return _escaped(*(parts or ["", row.name]))

    def _translated(self, row: Result) -> list[Code]:
        """The LOINC code for NHG's, where the table has just one for the result's unit."""
        if any(code.system == "loinc" for code in row.codes):
            return []
        found = {
            known.loinc
            for code in row.codes
            if code.system == "nhg"
            for known in self._mapping.by_code(code.value)
            if known.loinc and known.unit in ("", row.unit)
        }
        return [Code(found.pop(), "loinc", row.name)] if len(found) == 1 else []


def _requester(document: Document) -> Party | None:
    for role in (Role.REQUESTER, Role.PRACTITIONER):
        for party in document.parties:
            if party.role is role:
                return party
    return None


def _is_copy(party: Party) -> bool:
    """OBR-28 has all that is known of it."""
    rest = party.organisation or party.department or party.speciality or party.address or party.telephones
    return party.role is Role.COPY and not rest


def _facility(party: Party) -> dict[int, str]:
    """The fields of ORC for where a requester works."""
    telephones = [f"{hl7.escape(number)}^WPN^PH" for number in party.telephones]
    return {
        14: telephones[0] if telephones else "",
        21: _escaped(" ".join(part for part in (party.organisation, party.department) if part)),
        22: _address(party.address),
        23: "~".join(telephones[1:]),
    }


def _identifier(identifier: Identifier) -> str:
    if identifier.system == "bsn":
        return f"{hl7.escape(identifier.value)}^^^NLMINBIZA^NNNLD"
    return _escaped(identifier.value, "", "", identifier.system, "PI")


def _family(name: PersonName) -> str:
    """The surname with its parts (data type FN): whole, own prefix, own, partner's prefix, partner's."""
    partner = f"{name.partner_prefix} {name.partner}".strip()
    own = f"{name.own_prefix} {name.own}".strip()
    whole = " - ".join(part for part in (partner, own) if part) or name.written
    parts = (whole, name.own_prefix, name.own, name.partner_prefix, name.partner)
    return "&".join(hl7.escape(part) for part in parts).rstrip("&")


def _name(name: PersonName | None) -> str:
    """A patient's name (data type XPN)."""
    if name is None:
        return ""
    rest = _escaped(name.given, name.initials, "", name.title, "", "L")
    return f"{_family(name)}^{rest}"


def _provider(party: Party) -> str:
    """A doctor with his number (data type XCN)."""
    identifier = next((each for each in party.identifiers if each.system == "agb"), None)
    identifier = identifier or next(iter(party.identifiers), Identifier("", ""))
    name = party.name or PersonName()
    issuer = "VEKTIS" if identifier.system == "agb" else identifier.system
    rest = _escaped(name.initials or name.given, "", "", name.title, "", "", issuer)
    return f"{hl7.escape(identifier.value)}^{_family(name)}^{rest}".rstrip("^")


def _address(of: Address | None, kind: str = "") -> str:
    """Street and number with their parts, city, region, postcode, country, kind of address (data type XAD)."""
    if of is None:
        return ""
    whole = f"{of.street} {of.number}".strip() or of.box
    street = "&".join(hl7.escape(part) for part in (whole, of.street, of.number)).rstrip("&")
    other = of.box if whole != of.box else ""
    return f"{street}^{_escaped(other, of.city, of.region, of.postcode, of.country, kind)}".rstrip("^")


def _range(row: Result) -> str:
    if row.range:
        return row.range
    if row.low and row.high:
        return f"{row.low}-{row.high}"
    return f">{row.low}" if row.low else f"<{row.high}" if row.high else ""


def _time(when: str) -> str:
    """A time as HL7 writes it; the sender's text where it is no ISO 8601."""
    match = _ISO.fullmatch(when)
    if match is None:
        return _escaped(when)
    zone = {"Z": "+0000", None: ""}.get(match[8], (match[8] or "").replace(":", ""))
    return "".join(part or "" for part in match.groups()[:7]) + zone
