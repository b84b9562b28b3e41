"""MEDRPT: laboratory reports of 93A (the Dutch MRPN32, the British NHS003), and Austrian letters (1:901).

A report is in groups that a segment S01 to S20 opens: who (S01), report (S02), order (S04), address and name of the
patient (S06, S07), sample (S16), result (S18) and its range (S20). What a segment belongs to follows from the group.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from relayd.edi import numbers
from relayd.edi.edifact import Segment
from relayd.edi.model import (
    Address,
    Code,
    Fields,
    Flag,
    Identifier,
    Pair,
    Party,
    Patient,
    PersonName,
    Role,
)
from relayd.edi.names import Dialect, Label
from relayd.edi.readers.table import Row, Table
from relayd.edi.readers.taking import Context, Draft, iso_digits, place, text_block, unread
from relayd.edi.readers.un import dated, identifier, literal, nad_address, only_date, only_text, taken

_GROUP = re.compile(r"S\d\d")
_LIMITS = re.compile(r"(\d[\d.,]{0,20}) +(\d[\d.,]{0,20})", re.ASCII)
#: How a number stands to what was measured (element 6321). A result without it would be another one.
_COMPARED = {"4": "", "5": ">=", "6": ">", "7": "<", "8": "<="}
_ROLES = {
    "SLA": Role.LABORATORY,
    "PO": Role.REQUESTER,
    "CCR": Role.COPY,
    "MR": Role.RECEIVER,
    "MS": Role.SENDER,
    "GP": Role.PRACTITIONER,
}
#: Numbers that one party may have; what comes in greater number is shown as it stands.
_MOST = 20
_PERSONS = (Role.REQUESTER, Role.COPY, Role.PRACTITIONER)
_SEXES = {"1": "male", "2": "female", "9": "unknown", "0": "unknown"}
_FLAGS = {"": Flag.NONE, "HI": Flag.HIGH, "LO": Flag.LOW, "H": Flag.HIGH, "L": Flag.LOW, "HH": Flag.VERY_HIGH,
          "LL": Flag.VERY_LOW, "AB": Flag.ABNORMAL, "NO": Flag.NORMAL, "N": Flag.NORMAL}  # fmt: skip
_SYSTEMS = {"NHG": "nhg", "LN": "loinc", "LOINC": "loinc", "SCT": "snomed"}
_NAME_PARTS = {
    "NAN": "own",
    "SU": "own",
    "NEA": "partner",
    "NEV": "partner_prefix",
    "FO": "given",
    "FS": "given",
    "TI": "title",
    "IN": "initials",
}
#: Numbers and marks of the British reports that say nothing to a reader.
_TECHNICAL = frozenset({"SEQ", "GIS", "SPR", "UNS"})
#: The subjects of a text that say no more than where it stands.
_SUBJECTS = ("UIT", "GMR", "SPC", "RIT", "ACB")


class _MedRpt:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.draft = Draft()
        self.group = ""
        self.table: Table | None = None
        self.pairs: list[Pair] = []
        self.number = self.reported = ""
        #: A table has the number and the date of the report.
        self.said = True
        self.letter: list[list[str]] = []
        self.letter_of: Segment | None = None
        self.verbs: dict[str, Callable[[Segment], bool]] = {
            "BGM": self.bgm,
            "DTM": self.dtm,
            "NAD": self.nad,
            "ADR": self.adr,
            "COM": self.com,
            "CTA": self.cta,
            "RFF": self.rff,
            "STS": self.sts,
            "FCA": self.fca,
            "PNA": self.pna,
            "PDI": self.pdi,
            "SPC": self.spc,
            "INV": self.inv,
            "RSL": self.rsl,
            "RND": self.rnd,
            "FTX": self.ftx,
        }

    def read(self, segments: list[Segment]) -> Draft:
        for segment in segments:
            if _GROUP.fullmatch(segment.tag):
                self.open(segment)
                continue
            if segment.tag in _TECHNICAL:
                self.draft.technical.append(unread(segment, Dialect.UN))
                continue
            verb = self.verbs.get(segment.tag)
            if segment.raw and not (verb and verb(segment)):
                if not self.table:  # a result's limits and remarks may follow
                    self.close()
                self.draft.blocks.append(unread(segment, Dialect.UN))
        if not self.said:
            self.pairs += [
                Pair(label, value)
                for label, value in ((Label.LABORATORY_NUMBER, self.number), (Label.REPORTED, self.reported))
                if value
            ]
        self.close()
        return self.draft

    def open(self, segment: Segment) -> None:
        self.group = segment.tag
        if (
            segment.counters
            or len(segment.elements) != 1
            or not (segment.get(1).isdigit() and len(segment.get(1)) == 1)
            or len(segment.elements[0]) > 1
        ):
            self.draft.technical.append(unread(segment, Dialect.UN))
        if self.group == "S16" and self.table and self.table.rows:
            self.close()

    def close(self) -> None:
        """What was being put together is complete: it becomes a block."""
        if self.letter and self.letter_of:
            title = Label.SUMMARY if self.letter_of.get(1) == "ERG" else ""
            # A segment for each line; or pieces of 70 characters cut anywhere, with the author's breaks inside.
            by_line = all(pieces[-1].endswith("\n") for pieces in self.letter)
            written = ["".join((":" if by_line else "").join(pieces) for pieces in self.letter)]
            self.draft.blocks.append(text_block(written, title, place(self.letter_of), flowing=False))
            self.letter, self.letter_of = [], None
        if self.pairs:
            self.draft.blocks.append(Fields(tuple(self.pairs), Label.ORDER))
            self.pairs = []
        if self.table:
            for row in self.table.rows:
                if isinstance(row, Row) and not (row.low or row.high) and (limits := _LIMITS.fullmatch(row.range)):
                    row.low, row.high, row.range = limits[1], limits[2], ""
            self.draft.blocks.append(self.table.results())
            self.table = None

    def pair(self, label: str, value: str, segment: Segment) -> None:
        if value:
            self.pairs.append(Pair(label, value, place(segment)))

    # Who

    def bgm(self, segment: Segment) -> bool:
        """The header of an Austrian letter has the patient's insurance number and birth date behind the usual."""
        self.draft.technical.append(unread(segment, Dialect.UN))
        date, number, born = segment.get(4), segment.get(6), segment.get(7)
        self.draft.dated = self.draft.dated or iso_digits(date, self.context.year)
        if number or born:
            patient = self.draft.patient or Patient()
            others = (Pair(Label.INSURANCE_NUMBER, number, place(segment, "6")),) if number else ()
            birth = iso_digits(born, self.context.year - 10) or born
            self.draft.patient = replace(patient, birth_date=birth, others=(*patient.others, *others))
        return True

    def nad(self, segment: Segment) -> bool:
        nad = taken(segment)
        kind = nad.text(1)
        ids, where = identifier(nad.parts(2, 3)), nad_address(nad)
        if kind == "PAT":
            patient = self.draft.patient or Patient()
            surname, given, title, street = nad.parts(3, 4)
            name = PersonName(own=surname, given=given, title=title)
            if patient.address or (patient.name and name != PersonName()) or (street and where and where.street):
                return False
            where = replace(where or Address(), street=street) if street else where
            self.draft.patient = replace(
                patient,
                name=patient.name or (name if name != PersonName() else None),
                address=where,
                identifiers=(*patient.identifiers, *ids),
                others=(*patient.others, *nad.rest()),
            )
            return True
        role, organisation = _ROLES.get(kind, Role.OTHER), ""
        person: PersonName | None = None
        others = (Pair(Label.ROLE, kind, nad.place("1")),) if kind and kind not in _ROLES else ()
        if role in _PERSONS:
            surname, initials, prefix = nad.parts(4, 3)
            person = PersonName(own=surname, initials=initials, own_prefix=prefix)
        else:
            *names, practitioner = nad.parts(4, 5)
            if practitioner and not numbers.agb_shaped(practitioner):
                names.append(practitioner)
            elif practitioner:
                others = (*others, Pair(Label.PRACTITIONERS_CODE, practitioner, nad.place("4.5")))
            organisation = " ".join(part.strip() for part in names if part.strip())
        party = Party(role, person, organisation, address=where, identifiers=ids, others=(*others, *nad.rest()))
        self.draft.parties.append(party)
        return True

    def adr(self, segment: Segment) -> bool:
        adr = taken(segment)
        if adr.parts(1, 1)[0]:
            return False
        form, street, *number = adr.parts(2, 5)
        city, postcode, country = adr.text(3), adr.text(4), adr.text(5)
        if form not in ("", "1"):
            street, number = form, [street, *number]
        where = Address(street, " ".join(filter(None, number)), "", postcode, city, "", country)
        if self.group == "S01" and self.draft.parties and not self.draft.parties[-1].address:
            party = self.draft.parties[-1]
            self.draft.parties[-1] = replace(party, address=where, others=(*party.others, *adr.rest()))
            return True
        patient = self.draft.patient or Patient()
        if self.group in ("S01", "S02") or patient.address:
            return False
        self.draft.patient = replace(patient, address=where, others=(*patient.others, *adr.rest()))
        return True

    def com(self, segment: Segment) -> bool:
        com = taken(segment)
        number, kind = com.parts(1, 2)
        if kind not in ("", "TE", "FX", "EM", "AL"):
            return False
        label = {"FX": Label.FAX, "EM": Label.EMAIL}.get(kind)
        pairs = ((Pair(label, number, com.place("1.1")),) if label and number else ()) + com.rest()
        numbers_ = () if label or not number else (number,)
        if self.group == "S01" and self.draft.parties:
            party = self.draft.parties[-1]
            if len(party.telephones) + len(party.others) >= _MOST:
                return False
            self.draft.parties[-1] = replace(
                party, telephones=(*party.telephones, *numbers_), others=(*party.others, *pairs)
            )
        elif self.group in ("S06", "S07"):
            patient = self.draft.patient or Patient()
            if len(patient.telephones) + len(patient.others) >= _MOST:
                return False
            self.draft.patient = replace(
                patient, telephones=(*patient.telephones, *numbers_), others=(*patient.others, *pairs)
            )
        else:
            return False
        return True

    def cta(self, segment: Segment) -> bool:
        cta = taken(segment)
        kind, (code, department) = cta.text(1), cta.parts(2, 2)
        if kind != "AFD" or self.group != "S01" or not self.draft.parties or self.draft.parties[-1].department:
            return False
        party = self.draft.parties[-1]
        ids = (Identifier("local", code),) if code and department else ()
        self.draft.parties[-1] = replace(
            party,
            department=department or code,
            identifiers=(*party.identifiers, *ids),
            others=(*party.others, *cta.rest()),
        )
        return True

    def pna(self, segment: Segment) -> bool:
        if segment.get(1) != "PAT" or (self.draft.patient and self.draft.patient.name):
            return False
        patient, parts, others = self.draft.patient or Patient(), {}, []  # type: Patient, dict[str, str], list[Pair]
        pna = taken(segment)
        pna.parts(1, 1)
        ids = identifier(pna.parts(2, 6))
        for at in range(3, len(pna.elements) + 1):
            kind, value = pna.parts(at, 2)
            if kind == "NVV" and not {"initials", "own_prefix"} & parts.keys():
                parts["initials"], _, parts["own_prefix"] = value.partition("*")
            elif kind in _NAME_PARTS and _NAME_PARTS[kind] not in parts:
                parts[_NAME_PARTS[kind]] = value
            else:
                others += [Pair(Label.NAME_PART, given, pna.place(f"{at}.1")) for given in (kind, value) if given]
        self.draft.patient = replace(
            patient,
            name=PersonName(**parts) if parts else None,
            identifiers=_with(patient.identifiers, ids),
            others=(*patient.others, *others, *pna.rest()),
        )
        return True

    def pdi(self, segment: Segment) -> bool:
        pdi, patient = taken(segment), self.draft.patient or Patient()
        sex = pdi.text(1)
        if patient.sex:
            return False
        self.draft.patient = replace(patient, sex=_SEXES.get(sex, sex), others=(*patient.others, *pdi.rest()))
        return True

    def fca(self, segment: Segment) -> bool:
        fca = taken(segment)
        payer, (account, kind, agency, policy) = fca.text(1), fca.parts(2, 4)
        if payer != "PU":
            return False
        known = (kind, agency) in (("ZZ", "VEK"), ("", "VEK"), ("", ""))
        ids = (Identifier("uzovi" if known else f"{kind}:{agency}".strip(":"), account),) if account else ()
        others = (Pair(Label.POLICY, policy, fca.place("2.4")),) if policy else ()
        self.draft.parties.append(Party(Role.INSURER, identifiers=ids, others=(*others, *fca.rest())))
        return True

    # When and which

    def dtm(self, segment: Segment) -> bool:
        if not only_date(segment):
            return False
        kind, when = dated(segment, self.context.year)
        if kind == "137" and not self.draft.dated:
            self.draft.dated = when
        elif kind in ("329", "BTH") and not (self.draft.patient and self.draft.patient.birth_date):
            born = dated(segment, self.context.year - 10)[1]
            self.draft.patient = replace(self.draft.patient or Patient(), birth_date=born)
        elif kind == "SCO" and not self.the_table(segment).sampled:
            self.the_table(segment).sampled = when
        elif kind == "ISR" and not self.reported and not self.table:
            self.reported, self.said = when, False
        elif kind in ("ISO", "SRI"):
            label = Label.ORDERED if kind == "ISO" else Label.RECEIVED
            if not self.pairs or (self.pairs[-1].label, self.pairs[-1].value) != (label, when):  # MRPN32 wants it twice
                self.pair(label, when, segment)
        else:
            return False
        return True

    def rff(self, segment: Segment) -> bool:
        rff = taken(segment)
        kind, value = rff.parts(1, 2)
        if rff.rest() or not value:
            return False
        if kind == "SRI" and not self.number and not self.table:
            self.number, self.said = value, False
        elif kind == "LZB" and not (self.draft.patient and len(self.draft.patient.identifiers) >= _MOST):
            patient = self.draft.patient or Patient()
            self.draft.patient = replace(patient, identifiers=_with(patient.identifiers, (numbers.bsn(value),)))
        elif kind == "ROI":
            self.pair(Label.ORDER_NUMBER, value, segment)
        elif row := self.row():
            row.others.append(Pair(Label.REFERENCE, " ".join(filter(None, (kind, value))), place(segment)))
        else:
            return False
        return True

    def sts(self, segment: Segment) -> bool:
        sts, row = taken(segment), self.row()
        pairs = row.others if row else self.pairs
        pairs.extend(Pair(Label.STATUS, code, place(segment)) for code in (sts.text(1), sts.text(2)) if code)
        pairs.extend(sts.rest())
        return True

    # Results

    def the_table(self, segment: Segment) -> Table:
        if self.table is None:
            self.close()
            self.table = Table(place(segment), reported=self.reported, number=self.number)
            self.said = True
        return self.table

    def row(self) -> Row | None:
        rows = self.table.rows if self.table else []
        return rows[-1] if rows and isinstance(rows[-1], Row) and self.group in ("S18", "S19", "S20", "") else None

    def spc(self, segment: Segment) -> bool:
        spc, table = taken(segment), self.the_table(segment)
        kind = spc.text(1)
        specimen = " ".join(filter(None, (part.strip() for part in spc.parts(2, 6))))
        if kind != "TSP" or (table.specimen and specimen):
            return False
        table.specimen = table.specimen or specimen
        table.others.extend(spc.rest())
        return True

    def inv(self, segment: Segment) -> bool:
        inv, table = taken(segment), self.the_table(segment)
        kind, (code, kind_of_list, agency, name, more) = inv.text(1), inv.parts(2, 5)
        known = agency in _SYSTEMS and kind_of_list in ("", "AMB")
        system = _SYSTEMS[agency] if known else ":".join(filter(None, (kind_of_list, agency)))
        row = Row(" ".join(filter(None, (name, more))) or code, inv.place())
        if code or system:
            row.codes.append(Code(code, system))
        if kind not in ("", "1", "MQ"):
            row.others.append(Pair(Label.LINE, kind, inv.place("1")))
        row.others.extend(inv.rest())
        table.rows.append(row)
        return True

    def rsl(self, segment: Segment) -> bool:
        row, rsl = self.row(), taken(segment)
        if row is None or row.unit or row.flag_text:
            return False
        kind, (value, compared), span = rsl.text(1), rsl.parts(2, 2), rsl.text(3)
        if value and compared in _COMPARED:
            value = _COMPARED[compared] + value
        elif compared:
            row.others.append(Pair(Label.KIND_OF_RESULT, compared, rsl.place("2.2")))
        if kind not in ("", "NV", "TV", "AV", "CV"):
            row.others.append(Pair(Label.KIND_OF_RESULT, kind, rsl.place("1")))
        if value:
            row.values.append(value)
        row.range = span
        row.unit, indication = " ".join(part for part in rsl.parts(4, 6) if part), rsl.text(5)
        row.flag, row.flag_text = _FLAGS.get(indication.strip().upper(), Flag.OTHER), indication
        row.others.extend(rsl.rest())
        return True

    def rnd(self, segment: Segment) -> bool:
        row, rnd = self.row(), taken(segment)
        kind, low, high = rnd.text(1), rnd.text(2), rnd.text(3)
        if row is None or row.low or row.high or kind not in ("", "U", "RU"):
            return False
        row.low, row.high = low, high
        if row.range.split() == [limit for limit in (low, high) if limit]:
            row.range = ""
        row.others.extend(rnd.rest())
        return True

    # Text

    def ftx(self, segment: Segment) -> bool:
        elements = segment.elements
        kind = segment.get(1)
        if kind in ("BFD", "ERG") and 2 <= len(elements) <= 3 and [len(parts) for parts in elements[:2]] == [1, 1]:
            if elements[1][0]:
                return False
            if self.letter_of and self.letter_of.get(1) != kind:
                self.close()
            self.letter_of = self.letter_of or segment
            self.letter.append(elements[2] if len(elements) > 2 else [""])
            return True
        written = literal(segment)
        row = self.row()
        if kind not in _SUBJECTS or not only_text(segment):
            return False
        if row:
            for text in written:
                row.note(text)
        elif self.table:
            self.table.notes.extend(written)
        else:
            self.close()
            self.draft.blocks.append(text_block(written, "", place(segment), flowing=True))
        return True


def read(segments: list[Segment], context: Context) -> Draft:
    """What ``segments`` (without UNH and UNT) say."""
    return _MedRpt(context).read(segments)


def _with(known: tuple[Identifier, ...], more: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    return (*known, *(found for found in more if found not in known))
