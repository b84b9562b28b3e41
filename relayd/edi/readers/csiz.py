"""MEDSPE and MEDVRY of version 3 (3:911): letters in segments of the United Nations' directories."""

from __future__ import annotations

from dataclasses import replace

from relayd.edi.edifact import Segment
from relayd.edi.model import Identifier, Pair, Party, Patient, PersonName, Role
from relayd.edi.names import Dialect, Label
from relayd.edi.readers.taking import Context, Draft, place, text_block, unread
from relayd.edi.readers.un import dated, identifier, literal, nad_address, only_date, only_text, taken

_ROLES = {"SEN": Role.SENDER, "REC": Role.RECEIVER, "CCR": Role.COPY, "GP": Role.PRACTITIONER}
_SEXES = {"1": "male", "2": "female", "M": "male", "V": "female", "F": "female"}


def read(segments: list[Segment], context: Context) -> Draft:
    """What ``segments`` (without UNH and UNT) say."""
    draft, texts, first = Draft(), [], None  # type: Draft, list[str], Segment | None
    for segment in segments:
        tag, kind, patient = segment.tag, segment.get(1), draft.patient
        if tag == "FTX" and kind == "GMR" and only_text(segment, ("", "1", "2", "3", "4")):
            first = first or segment
            texts.extend("" if line == "." else line for line in literal(segment))
            continue
        if tag == "BGM":
            draft.technical.append(unread(segment, Dialect.UN))
        elif tag == "DTM" and kind == "137" and not draft.dated and only_date(segment):
            draft.dated = dated(segment, context.year)[1]
        elif tag == "DTM" and kind == "BTH" and not (patient and patient.birth_date) and only_date(segment):
            draft.patient = replace(patient or Patient(), birth_date=dated(segment, context.year - 10)[1])
        elif tag == "PDI" and kind in _SEXES and len(segment.elements) == 1:
            draft.patient = replace(patient or Patient(), sex=_SEXES[kind])
        elif tag == "PID" and kind in ("", "PAT") and not (patient and patient.name):
            draft.patient = _patient(segment, patient or Patient())
        elif tag == "NAD" and kind == "PAT" and not (patient and patient.address):
            nad = taken(segment)
            nad.parts(1, 1)
            known = patient or Patient()
            draft.patient = replace(known, address=nad_address(nad), others=(*known.others, *nad.rest()))
        elif tag == "NAD" and kind in _ROLES:
            draft.parties.append(_party(segment, _ROLES[kind]))
        elif segment.raw:
            if first:
                draft.blocks.append(text_block(texts, "", place(first), flowing=True))
                texts, first = [], None
            draft.blocks.append(unread(segment, Dialect.UN))
    if first:
        draft.blocks.append(text_block(texts, "", place(first), flowing=True))
    return draft


def _party(segment: Segment, role: Role) -> Party:
    nad = taken(segment)
    nad.parts(1, 1)
    numbers, name = identifier(nad.parts(2, 3)), " ".join(filter(None, nad.parts(4, 5)))
    where = nad_address(nad)
    return Party(role, organisation=name, address=where, identifiers=numbers, others=nad.rest())


def _patient(segment: Segment, patient: Patient) -> Patient:
    pid = taken(segment)
    pid.parts(1, 1)
    numbers: tuple[Identifier, ...] = identifier(pid.parts(2, 3))
    form, surname, initials = pid.parts(3, 3)
    others = [Pair(Label.NAME_PART, form, pid.place("3.1"))] if form not in ("", "100") else []
    others += [replace(pair, label=Label.NAME_PART) if pair.place.element[:2] == "3." else pair for pair in pid.rest()]
    return replace(
        patient,
        name=PersonName(own=surname, initials=initials),
        identifiers=(*patient.identifiers, *numbers),
        others=(*patient.others, *others),
    )
