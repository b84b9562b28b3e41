"""The Dutch messages of version 1 (MEDLAB, MEDVRI, MEDSPE, MEDRAD) and others that are written in their segments.

What a segment means doesn't depend on the order that the specification wants: the order of the file wins, and the
counters behind the tags aren't needed. A remark belongs to the result that it follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from relayd.edi import numbers
from relayd.edi.edifact import Segment
from relayd.edi.model import (
    Code,
    Fields,
    Flag,
    Heading,
    Identifier,
    Pair,
    Party,
    Patient,
    PersonName,
    Place,
    Role,
    Status,
)
from relayd.edi.names import VALUES, Dialect, Label
from relayd.edi.readers.table import Row, Table
from relayd.edi.readers.taking import (
    Context,
    Draft,
    Taken,
    address,
    line,
    lines,
    moment,
    place,
    telephones,
    text_block,
    unread,
)

#: Tags that no other family has: a message with them is read as one of version 1, whatever it is called.
OWN_TAGS = frozenset({"ZKH", "GGA", "GGO", "PAD", "BEP", "OPB", "OPM", "OPU", "NUB", "IDE", "ARA", "KOP", "VRG", "VRS"})

_FLAGS = {
    "": Flag.NONE,
    "<": Flag.LOW,
    "L": Flag.LOW,
    "-": Flag.LOW,
    ">": Flag.HIGH,
    "H": Flag.HIGH,
    "+": Flag.HIGH,
    "LL": Flag.VERY_LOW,
    "<<": Flag.VERY_LOW,
    "HH": Flag.VERY_HIGH,
    ">>": Flag.VERY_HIGH,
    "N": Flag.NORMAL,
    "*": Flag.ABNORMAL,
    "A": Flag.ABNORMAL,
}
_SEXES = {"M": "male", "V": "female", "F": "female", "O": "unknown", "U": "unknown"}
_COMPLETE = {"J": True, "C": True, "Y": True, "N": False}
_TITLES = {
    "TXT": "",
    "VRG": Label.QUESTION,
    "VRS": Label.REPORT,
    "CON": Label.CONCLUSION,
    "ADD": Label.ADDENDUM,
}
_BSN = re.compile(r"\s*BSN[\s:.]*(\d{8,9})\s*", re.IGNORECASE | re.ASCII)


class _Version1:
    def __init__(self, kind: str, context: Context) -> None:
        self.kind, self.context = kind, context
        self.draft = Draft()
        self.table: Table | None = None
        self.texts: list[str] = []
        self.text_tag, self.text_place = "", Place()
        self.institution: int | None = None
        self.sampled = ""
        self.verbs: dict[str, Callable[[Segment], None]] = {
            "ZKH": self.zkh,
            "GGA": lambda segment: self.party(segment, Role.SENDER),
            "GGO": lambda segment: self.party(segment, Role.RECEIVER),
            "PID": self.pid,
            "PAD": self.pad,
            "BLG": self.blg,
            "ART": self.art,
            "AFD": self.afd,
            "ARA": self.ara,
            "KOP": self.kop,
            "SPE": self.spe,
            "DET": self.det,
            "IDE": self.ide,
            "OPM": self.note,
            "COM": self.note,
            "SEC": self.sec,
            "BEP": self.bep,
            "NUB": self.nub,
            "OPB": self.remark,
            "OPU": self.remark,
            "REF": self.ref,
            "OND": self.ond,
        }

    def read(self, segments: list[Segment]) -> Draft:
        for segment in segments:
            tag = segment.tag
            if tag in _TITLES:
                self.text(segment)
            elif verb := self.verbs.get(tag):
                verb(segment)
            elif segment.raw:
                self.unread(segment)
        self.close()
        return self.draft

    def close(self) -> None:
        """What was being put together is complete: it becomes a block."""
        if self.texts:
            self.draft.blocks.append(
                text_block(self.texts, _TITLES[self.text_tag], self.text_place, flowing=self.text_tag != "CON")
            )
            self.texts = []
        if self.table:
            self.draft.blocks.append(self.table.results())
            self.sampled = self.table.sampled
            self.table = None

    def text(self, segment: Segment) -> None:
        if self.table or self.text_tag != segment.tag:
            self.close()
        if not self.texts:
            self.text_tag, self.text_place = segment.tag, place(segment)
        self.texts.append(line(segment))

    # Who

    def zkh(self, segment: Segment) -> None:
        taken = _taken(segment)
        role = Role.LABORATORY if self.kind == "MEDLAB" else Role.SENDER
        name, where, telephone, code = taken.text(1), address(taken, 2), taken.text(3), taken.text(4)
        identifiers = (Identifier("hospital", code),) if code else ()
        self.institution = len(self.draft.parties)
        self.draft.parties.append(
            Party(
                role,
                organisation=name,
                address=where,
                telephones=telephones(telephone),
                identifiers=identifiers,
                others=taken.rest(),
            )
        )

    def party(self, segment: Segment, role: Role) -> None:
        taken = _taken(segment)
        person, department, organisation, telephone = (taken.text(at) for at in (1, 2, 3, 5))
        self.draft.parties.append(
            Party(
                role,
                _written(person),
                organisation,
                department,
                address=address(taken, 4),
                telephones=telephones(telephone),
                others=taken.rest(),
            )
        )

    def pid(self, segment: Segment) -> None:
        if self.draft.patient is not None:
            self.unread(segment)
            return
        taken = _taken(segment)
        born, sex, reference, number = taken.parts(1, 3), taken.text(2), taken.text(4), taken.text(5)
        name = _patient_name(taken.parts(3, 6), sex)
        others: list[Pair] = []
        identifiers: tuple[Identifier, ...] = ()
        # Senders without a reference of their own put the citizen number into either field.
        for label, value, at in ((Label.SENDERS_REFERENCE, reference, "4"), (Label.RECEIVERS_REFERENCE, number, "5")):
            if match := _BSN.fullmatch(value):
                identifiers = (*identifiers, numbers.bsn(match[1]))
            elif value:
                others.append(Pair(label, value, taken.place(at)))
        self.draft.patient = Patient(
            name,
            moment(born, ["", "", ""], self.context.year - 10),
            _SEXES.get(sex.strip().upper(), sex),
            identifiers,
            others=(*others, *taken.rest()),
        )

    def pad(self, segment: Segment) -> None:
        taken = _taken(segment)
        where, telephone, patient = address(taken, 1), taken.text(2), self.draft.patient or Patient()
        if patient.address or patient.telephones:
            self.unread(segment)
            return
        others = (*patient.others, *taken.rest())
        self.draft.patient = replace(patient, address=where, telephones=telephones(telephone), others=others)

    def blg(self, segment: Segment) -> None:
        taken, patient = _taken(segment), self.draft.patient or Patient()
        if any(pair.label == Label.BLOOD for pair in patient.others):
            self.unread(segment)
            return
        pair = Pair(Label.BLOOD, taken.text(1), taken.place("1"))
        self.draft.patient = replace(patient, others=(*patient.others, *([pair] if pair.value else []), *taken.rest()))

    def art(self, segment: Segment) -> None:
        taken = _taken(segment)
        role = {"MEDSPE": Role.RECEIVER, "MEDLAB": Role.REQUESTER, "MEDRAD": Role.REQUESTER}.get(self.kind)
        kind, code, (surname, prefix, initials, title) = taken.text(1), taken.text(2), taken.parts(3, 4)
        name = PersonName(own=surname, own_prefix=prefix, initials=initials, title=title)
        self.draft.parties.append(
            Party(
                role or Role.PRACTITIONER,
                name if name != PersonName() else None,
                address=address(taken, 4),
                telephones=telephones(taken.text(5)),
                identifiers=(numbers.agb(code),) if code else (),
                others=(*_coded(Label.PRACTITIONER, kind, taken.place("1")), *taken.rest()),
            )
        )

    def afd(self, segment: Segment) -> None:
        taken = _taken(segment)
        department, telephone = taken.text(1), taken.text(2)
        at = self.institution
        if at is not None and not self.draft.parties[at].department:
            party = self.draft.parties[at]
            self.draft.parties[at] = replace(
                party,
                department=department,
                telephones=(*party.telephones, *telephones(telephone)),
                others=(*party.others, *taken.rest()),
            )
            return
        role = Role.LABORATORY if self.kind == "MEDLAB" else Role.SENDER
        self.draft.parties.append(
            Party(role, department=department, telephones=telephones(telephone), others=taken.rest())
        )

    def ara(self, segment: Segment) -> None:
        taken = _taken(segment)
        name, numbers_ = _written(taken.text(1)), telephones(taken.text(2))
        self.draft.parties.append(Party(Role.CONTACT, name, telephones=numbers_, others=taken.rest()))

    def kop(self, segment: Segment) -> None:
        taken = _taken(segment)
        which = _coded(Label.COPY, taken.text(1), taken.place("1"))
        role = Role.OTHER if which and which[0].meaning == VALUES["Copy"]["VAN"] else Role.COPY
        names = [name for at in range(2, len(taken.elements) + 1) if (name := taken.text(at))]
        for name in names or [""]:
            self.draft.parties.append(Party(role, _written(name), others=which))

    def spe(self, segment: Segment) -> None:
        taken = _taken(segment)
        speciality, person, code = taken.text(1), taken.text(2), taken.text(3)
        self.draft.parties.append(
            Party(
                Role.SENDER if self.kind == "MEDSPE" else Role.PRACTITIONER,
                _written(person),
                speciality=speciality,
                identifiers=(numbers.agb(code),) if code else (),
                others=taken.rest(),
            )
        )

    # Results

    def det(self, segment: Segment) -> None:
        taken = _taken(segment)
        when = moment(taken.parts(1, 3), taken.parts(2, 3), self.context.year)
        if self.kind == "MEDLAB" or self.table:
            self.close()
            self.table = Table(taken.place(), when, others=list(taken.rest()))
        elif not self.draft.dated:
            self.draft.dated = when
            if rest := taken.rest():
                self.draft.blocks.append(Fields(rest))
        else:
            self.unread(segment)

    def ide(self, segment: Segment) -> None:
        table, taken = self.the_table(segment), _taken(segment)
        if table.number or table.specimen or table.complete is not None:
            table = self.new_table(segment)
        complete, table.number, table.specimen, volume = (taken.text(at) for at in range(1, 5))
        table.complete = _COMPLETE.get(complete.strip().upper())
        if complete and table.complete is None:
            table.others.append(Pair(Label.COMPLETE, complete, taken.place("1")))
        if volume:
            table.others.append(Pair(Label.VOLUME, volume, taken.place("4")))
        table.others.extend(taken.rest())

    def sec(self, segment: Segment) -> None:
        table, name = self.the_table(segment), line(segment)
        if not table.title and not table.rows:
            table.title = name
        elif name:
            table.rows.append(Heading(name, place(segment)))

    def bep(self, segment: Segment) -> None:
        table, taken = self.the_table(segment), _taken(segment)
        kind, name, value, changed, unit, indication, low, high, code = (taken.text(at) for at in range(1, 10))
        others = taken.rest()
        if kind in ("", "1") and name and not (value or changed or unit or indication or low or high or code or others):
            table.rows.append(Heading(name, taken.place()))
            return
        if kind not in ("", "0", "1"):
            others = (Pair(Label.LINE, kind, taken.place("1")), *others)
        if changed not in ("", "0", "1"):
            others = (Pair(Label.CHANGED, changed, taken.place("4")), *others)
        status = Status.CORRECTED if changed.strip().upper() not in ("", "0", "N") else Status.NONE
        table.rows.append(
            Row(
                name,
                taken.place(),
                [value] if value else [],
                unit,
                low,
                high,
                flag=_FLAGS.get(indication.strip().upper(), Flag.OTHER),
                flag_text=indication,
                status=status,
                codes=[Code(code, "nhg")] if code else [],
                others=list(others),
            )
        )

    def nub(self, segment: Segment) -> None:
        table, taken = self.the_table(segment), _taken(segment)
        name = taken.text(1)
        table.rows.append(Row(name, taken.place(), status=Status.PENDING, others=list(taken.rest())))

    def remark(self, segment: Segment) -> None:
        """OPB and OPU: of the line that they follow; under a heading they make a line of their own."""
        table = self.the_table(segment)
        if not table.rows or isinstance(table.rows[-1], Heading):
            table.rows.append(Row("", place(segment)))
        row = table.rows[-1]
        assert isinstance(row, Row)
        for written in lines(line(segment)):
            row.note(written)

    def note(self, segment: Segment) -> None:
        """OPM and COM: of the sample. Before any sample they are a text of the message."""
        if self.table:
            self.table.notes.extend(lines(line(segment)))
        else:
            self.draft.blocks.append(text_block([line(segment)], Label.REMARK, place(segment), flowing=True))

    def the_table(self, segment: Segment) -> Table:
        return self.table or self.new_table(segment)

    def new_table(self, segment: Segment) -> Table:
        """Results without a DET of their own, or behind something that stands between: of the same moment."""
        self.close()
        self.table = Table(place(segment), self.sampled)
        return self.table

    # The rest

    def ref(self, segment: Segment) -> None:
        taken = _taken(segment)
        self.fields(Pair(Label.REFERENCE, taken.text(1), taken.place("1")), *taken.rest())

    def ond(self, segment: Segment) -> None:
        taken = _taken(segment)
        self.fields(
            Pair(Label.EXAMINATION, taken.text(1), taken.place("1")),
            Pair(Label.EXAMINATION_CODE, taken.text(2), taken.place("2")),
            *taken.rest(),
        )

    def fields(self, *pairs: Pair) -> None:
        self.close()
        if given := tuple(pair for pair in pairs if pair.value):
            self.draft.blocks.append(Fields(given))

    def unread(self, segment: Segment) -> None:
        self.close()
        self.draft.blocks.append(unread(segment, Dialect.VERSION_1))


def read(kind: str, segments: list[Segment], context: Context) -> Draft:
    """What ``segments`` (without UNH and UNT) say; ``kind`` is the type of message, "MEDLAB"."""
    return _Version1(kind, context).read(segments)


def _taken(segment: Segment) -> Taken:
    return Taken(segment, Dialect.VERSION_1)


def _written(name: str) -> PersonName | None:
    return PersonName(written=name) if name else None


def _coded(label: str, value: str, where: Place) -> tuple[Pair, ...]:
    return (Pair(label, value, where, VALUES[label].get(value.strip().upper(), "")),) if value else ()


def _patient_name(parts: list[str], sex: str) -> PersonName | None:
    """Names by the Dutch rules of these messages: a woman's birth name stands third and her partner's first, a man's
    own name stands first; who has only one of them has it as own name."""
    first, first_prefix, second, second_prefix, given, initials = parts
    own, partner = (second, second_prefix), (first, first_prefix)
    if not any(own) or (any(partner) and sex.strip().upper() == "M"):
        own, partner = partner, own
    if own == partner:
        partner = ("", "")
    return PersonName(*own, *partner, initials, given) if any(parts) else None
