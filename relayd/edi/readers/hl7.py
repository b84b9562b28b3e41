"""HL7 v2 messages as the model has them: results, orders, patients, documents, acknowledgements.

All types are read the same way, by their segments (relayd/edi/readers/hl7_groups.py); the type decides only what the
message is for, and with that how it is laid out. A type or a segment that isn't known is shown with the names that
its segments and fields have.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from relayd.edi import hl7
from relayd.edi.charset import out_of_utf_16
from relayd.edi.detect import sniff
from relayd.edi.model import (
    Block,
    Document,
    Fields,
    Finding,
    Format,
    Kind,
    Pair,
    Party,
    Patient,
    Reading,
    Severity,
    Status,
    Text,
)
from relayd.edi.names import Says
from relayd.edi.names_hl7 import COMPLETIONS, SEGMENTS, kind
from relayd.edi.readers.hl7_check import strict
from relayd.edi.readers.hl7_groups import Group, Item, Part, parts_of
from relayd.edi.readers.hl7_orders import Orders
from relayd.edi.readers.hl7_parts import (
    PatientReader,
    contact,
    fields_of,
    insurer,
    note_lines,
    providers,
    unread,
)
from relayd.edi.readers.hl7_values import is_single, left, moment

#: Segments that say nothing of what the message is about; they stand behind the rest.
_PLUMBING: Final = frozenset({"MSH", "SFT", "DSC", "UAC", "QPD"})


def read(data: bytes, charset: str = "") -> Reading:
    """Every message in ``data``. ``charset`` is what its carrier says of it, by the Internet's name.

    Nothing raises for any octets. What is no segment stands in ``outside``.
    """
    data, odd = out_of_utf_16(data)
    findings = list(odd)
    file = hl7.split(data, charset)
    documents = tuple(document for message in file.messages for document in _Reader(message).documents())
    if not documents:
        findings.append(Finding(Severity.ERROR, "There is no message in the file"))
    findings += _counts(file)
    if any(sniff(piece.octets) is Format.EDIFACT for piece in file.outside):
        findings.append(Finding(Severity.ERROR, Says.OTHER_MESSAGE))
    texts = [hl7.decode(piece.octets, "utf-8") for piece in file.outside]
    outside = tuple(
        Text(tuple(text.strip("\r\n\x0b\x1c").splitlines())) for text in texts if text.strip(" \t\r\n\x0b\x1c\0\ufeff")
    )
    charsets = {message.charset for message in file.messages}
    return Reading(
        Format.HL7, documents, charsets.pop() if len(charsets) == 1 else charset or "ascii", tuple(findings), outside,
        tuple(unread(segment) for segment in file.envelope),
    )  # fmt: skip


def check(data: bytes, charset: str = "") -> list[Finding]:
    """Every finding in ``data``: those of :func:`read`, and where it isn't as the standard wants it."""
    reading = read(data, charset)
    found = [*reading.findings, *(finding for document in reading.documents for finding in document.findings)]
    return [*found, *strict(hl7.split(out_of_utf_16(data)[0], charset))]


def _counts(file: hl7.File) -> list[Finding]:
    """What the trailers say of the number of messages and batches (HL7 2.5 §2.15)."""
    findings: list[Finding] = []
    messages = batches = 0
    for piece in file.pieces:
        if isinstance(piece, hl7.Message):
            messages += 1
        elif isinstance(piece, hl7.Outside) or piece.tag == "FHS":
            continue
        elif piece.tag == "BHS":
            messages = 0
        elif piece.tag == "BTS":
            text = "The batch says that it has %(said)s messages; it has %(count)s"
            findings += _count(piece, messages, text)
            messages, batches = 0, batches + 1
        else:
            text = "The file says that it has %(said)s batches; it has %(count)s"
            findings += _count(piece, batches, text)
    return findings


def _count(segment: hl7.Segment, count: int, text: str) -> list[Finding]:
    said = segment.value(1).strip()
    if not said or said.lstrip("0") == str(count or ""):
        return []
    return [Finding(Severity.WARNING, text, segment.place("1"), {"said": said[:20], "count": str(count)})]


class _Reader:
    """One message."""

    def __init__(self, message: hl7.Message) -> None:
        self._message = message
        self._parts = parts_of(message)
        self._header = message.header
        # Some write the structure, "ORU_R01", for the type.
        code = self._header.value(9).partition("_")[0] if self._header is not None else ""
        sections = frozenset(
            section for segment in message.segments if segment.tag == "OBR" and (section := segment.value(24).upper())
        )
        self._kind = kind(code.upper(), sections) if code else self._guess()

    def _guess(self) -> Kind:
        """The kind of a message that doesn't say its type."""
        tags = {segment.tag for segment in self._message.segments}
        if "OBX" in tags:
            return Kind.LABORATORY
        return Kind.ORDER if tags & {"ORC", "OBR"} else Kind.PATIENT if "PID" in tags else Kind.UNKNOWN

    def documents(self) -> list[Document]:
        return [self._document(part, number) for number, part in enumerate(self._parts, 1)]

    def _document(self, part: Part, number: int) -> Document:
        header, message = self._header, self._message
        findings = list(message.findings) if number == 1 else []
        orders = Orders(self._kind)
        people: list[Party] = []
        blocks: list[Block] = []
        if notes := note_lines(part.notes):
            blocks.append(Text(notes, "Remark", place=part.notes[0].place()))
        status, plumbing = Status.NONE, []
        for segment in part.around:
            if segment.tag in _PLUMBING:
                plumbing.append(segment)
                continue
            found, taken = providers(segment)
            people += found
            if segment.tag == "TXA":
                status = COMPLETIONS.get(segment.value(17), Status.NONE)
            blocks += _present(fields_of(segment, taken))
        patient = self._patient(part, blocks, people, findings)
        for is_group, run in groupby(part.items, lambda item: isinstance(item, Group)):
            if is_group:
                blocks += orders.blocks([item for item in run if isinstance(item, Group)])
            else:
                for item in run:
                    assert isinstance(item, Item)
                    blocks += self._item_blocks(item, part, people)
        blocks += [unread(segment, _said_of(segment) if segment is header else ()) for segment in plumbing]
        if header is None:
            findings.append(Finding(Severity.ERROR, "The message has no header (MSH)", message.segments[0].place()))
        elif not header.value(9):
            findings.append(Finding(Severity.ERROR, "The message doesn't say its type (MSH-9)", header.place("9")))
        elif self._kind is Kind.UNKNOWN:
            text = "This type of message isn't known: %(type)s"
            found_type = {"type": _type(header)[:40]}
            findings.append(Finding(Severity.NOTE, text, header.place("9"), found_type))
        blocks = [block for block in blocks if not isinstance(block, Fields) or block.pairs]
        return Document(
            Format.HL7, self._kind, _type(header) if header else "", header.value(12) if header else "",
            header.value(10) if header else "", "", moment(header.value(7)) if header else "",
            _system(header, 3), _system(header, 5), _unique([*people, *orders.parties]), patient, tuple(blocks),
            status if status is not Status.NONE or self._kind is Kind.ORDER else _status(orders.statuses),
            header is not None and header.value(11) in ("T", "D"), (*findings, *orders.findings), number,
            len(self._parts), message.start, message.end,
        )  # fmt: skip

    def _patient(self, part: Part, blocks: list[Block], people: list[Party], findings: list[Finding]) -> Patient | None:
        additional: list[Pair] = []
        for item in part.items:
            if isinstance(item, Item) and item.segment.tag == "PD1":
                found, taken = providers(item.segment)
                people += found
                additional += left(item.segment, taken)
        if notes := note_lines(part.patient_notes):
            blocks.append(Text(notes, "Remark about the patient", place=part.patient_notes[0].place()))
        if part.patient is None:
            if additional:
                blocks.append(Fields(tuple(additional), SEGMENTS["PD1"]))
            if self._kind in (Kind.LABORATORY, Kind.RADIOLOGY, Kind.ORDER):
                findings.append(Finding(Severity.WARNING, "The message names no patient (PID)"))
            return None
        reader = PatientReader(part.patient)
        patient = reader.read(additional)
        findings += reader.findings
        return patient

    def _item_blocks(self, item: Item, part: Part, people: list[Party]) -> list[Block]:
        """A segment outside orders, with its remarks."""
        segment, blocks = item.segment, list[Block]()
        match segment.tag:
            case "PD1":
                pass
            case "PID" if part.patient is not None and segment.text == part.patient.text:
                pass
            case "NK1":
                people.append(contact(segment))
            case "IN1":
                people.append(insurer(segment))
            case _:
                found, taken = providers(segment)
                people += found
                blocks += _present(fields_of(segment, taken))
        if notes := note_lines(item.notes):
            blocks.append(Text(notes, "Remark", place=item.notes[0].place()))
        return blocks


def _present(block: Block | None) -> list[Block]:
    return [] if block is None else [block]


def _type(header: hl7.Segment) -> str:
    return "^".join(part for part in (header.value(9), header.value(9, 2)) if part)


def _system(header: hl7.Segment | None, number: int) -> str:
    """An application and its facility as "application^facility"."""
    if header is None:
        return ""
    application, facility = header.value(number), header.value(number + 1)
    return f"{application}^{facility}" if application or facility else ""


def _said_of(segment: hl7.Segment) -> set[int]:
    """The fields of MSH that the document has; one with more in it than that is shown whole."""
    plain = {number for number in (3, 4, 5, 6, 7, 10, 12) if is_single(segment, number)}
    code, event, structure, *rest = [*segment.components(segment.raw(9)), "", "", ""]
    follows = structure in ("", code, f"{code}_{event}") and not any(rest) and len(segment.repetitions(9)) == 1
    return plain | ({9} if follows else set())


def _unique(parties: list[Party]) -> tuple[Party, ...]:
    """Each party once; one that is another with less said of it is left out."""
    found = list(dict.fromkeys(parties))
    full = {(party.role, party.name, party.identifiers) for party in found if party.organisation or party.address}
    return tuple(
        party for party in found
        if party.organisation or party.address or party.telephones or party.others
        or (party.role, party.name, party.identifiers) not in full
    )  # fmt: skip


def _status(statuses: list[Status]) -> Status:
    """That of all results; of some unfinished ones, and of a corrected one, that."""
    found = set(statuses) - {Status.NONE}
    if Status.CORRECTED in found:
        return Status.CORRECTED
    if found & {Status.PENDING, Status.PRELIMINARY}:
        return Status.PRELIMINARY
    return found.pop() if len(found) == 1 else Status.NONE
