"""Pieces of an HL7 message that stand alike in many places: remarks, people, a patient, segments as fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relayd.edi import numbers
from relayd.edi.hl7 import HEADERS, Segment
from relayd.edi.model import (
    Address,
    Element,
    Fields,
    Finding,
    Identifier,
    Pair,
    Party,
    Patient,
    PersonName,
    Role,
    Severity,
    Unread,
)
from relayd.edi.names_hl7 import FIELDS, ROLES, SEGMENTS, SEXES, name_of
from relayd.edi.readers.hl7_values import (
    DELETED,
    Parts,
    address,
    identifier,
    is_single,
    joined,
    left,
    moment,
    person_name,
    provider,
    shown,
    telephone,
)

#: Who wrote a remark (table 0105), which a page needn't say.
_USUAL_SOURCES: Final = frozenset({"L", "P", "O"})
_USES: Final = frozenset({"L", "D", "A"})
_ADDRESS_KINDS: Final = frozenset({"M", "H", "L", "C"})
_TELEPHONE_KINDS: Final = frozenset({"PRN", "ORN", "WPN", "NET", "PH", "CP", "INTERNET", "X.400"})


def note_lines(notes: Iterable[Segment]) -> tuple[str, ...]:
    """The remarks' lines as the sender broke them."""
    lines: list[str] = []
    for note in notes:
        lines += [line for raw in note.repetitions(3) for line in note.unescape(raw).splitlines() or [""]]
        taken = {3} if note.raw(2) not in _USUAL_SOURCES else {2, 3}
        lines += [f"[{pair.value}]" for pair in left(note, taken)]
    return tuple(lines)


def unread(segment: Segment, taken: Iterable[int] = ()) -> Unread:
    """A segment taken apart, with the names that are known; fields in ``taken`` are left out."""
    gone = set(taken)
    elements: list[Element] = []
    for number, raw in enumerate(segment.fields):
        if not raw or number == 0 or number in gone or (number <= 2 and segment.tag in HEADERS):
            continue
        name = name_of(segment.tag, number).text
        repetitions = segment.repetitions(number)
        for index, repetition in enumerate(repetitions, 1):
            position = f"{number}[{index}]" if len(repetitions) > 1 else str(number)
            elements += _elements(segment, repetition, position, name)
    return Unread(segment.tag, SEGMENTS.get(segment.tag, ""), tuple(elements), "", segment.place())


def _elements(segment: Segment, raw: str, position: str, name: str) -> list[Element]:
    found: list[Element] = []
    components = segment.components(raw)
    for component, written in enumerate(components, 1):
        if not written:
            continue
        at = f"{position}.{component}" if len(components) > 1 else position
        subcomponents = segment.subcomponents(written)
        for subcomponent, text in enumerate(subcomponents, 1):
            if text:
                place = f"{at}.{subcomponent}" if len(subcomponents) > 1 else at
                found.append(Element(place, name, segment.unescape(text)))
    return found


def fields_of(segment: Segment, taken: Iterable[int] = ()) -> Fields | Unread | None:
    """A segment as labels with values, or taken apart where its fields have no names; None where nothing is left."""
    if segment.tag not in FIELDS:
        return unread(segment, taken)
    pairs = left(segment, taken)
    return Fields(tuple(pairs), SEGMENTS[segment.tag]) if pairs else None


def parties(segment: Segment, number: int) -> list[Party]:
    """The people in a field of type XCN."""
    role = ROLES[segment.tag, number]
    label = name_of(segment.tag, number).text
    found: list[Party] = []
    for raw in segment.repetitions(number):
        parts = Parts(segment, raw)
        name, identifiers, rest = provider(parts)
        rest = joined((rest, parts.rest(_USES)))
        others = (Pair(label, rest, segment.place(str(number))),) if rest else ()
        if name or identifiers or others:
            found.append(Party(role, name, identifiers=identifiers, others=others))
    return found


def providers(segment: Segment) -> tuple[list[Party], set[int]]:
    """The people in a segment's fields that are known for it, and the numbers of those fields."""
    found: list[Party] = []
    taken: set[int] = set()
    for tag, number in ROLES:
        if tag == segment.tag and segment.raw(number) not in ("", DELETED):
            found += parties(segment, number)
            taken.add(number)
    return found, taken


class PatientReader:
    """Reads PID, and what other segments add to it."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._others: list[Pair] = []
        self.findings: list[Finding] = []

    def read(self, additional: Iterable[Pair] = ()) -> Patient:
        segment = self._segment
        taken = {2, 3, 4, 5, 7, 8, 11, 13, 14}
        identifiers = [each for number in (3, 2, 4) for each in self._identifiers(number)]
        if segment.raw(19) != DELETED and is_single(segment, 19) and (social := segment.value(19)):
            sound = numbers.bsn_sound(social)
            identifiers.append(Identifier("bsn" if sound else name_of("PID", 19).text, social, sound or None))
            taken.add(19)
        for each in identifiers:
            if each.system == "bsn" and each.sound is False:
                text = "A BSN doesn't pass its check"
                self.findings.append(Finding(Severity.WARNING, text, segment.place("3")))
        sex = segment.raw(8)
        name, born, home = self._name(), self._birth_date(), self._address()
        telephones = tuple(self._telephones())
        others = (*self._others, *left(segment, taken), *additional)
        said = "" if sex == DELETED else SEXES.get(sex.strip().upper(), segment.unescape(sex))
        return Patient(name, born, said, tuple(dict.fromkeys(identifiers)), home, telephones, others)

    def _given(self, number: int) -> list[str]:
        return [] if self._segment.raw(number) == DELETED else [raw for raw in self._segment.repetitions(number) if raw]

    def _rest(self, number: int, rest: str) -> None:
        if rest:
            label = name_of("PID", number).text
            self._others.append(Pair(label, rest, self._segment.place(str(number))))

    def _identifiers(self, number: int) -> Iterable[Identifier]:
        for raw in self._given(number):
            found, rest = identifier(Parts(self._segment, raw))
            self._rest(number, rest)
            if found.value or found.system:
                yield found

    def _birth_date(self) -> str:
        first, *others = self._given(7) or [""]
        parts = Parts(self._segment, first)
        date = parts.take(1)
        self._rest(7, joined((parts.rest(), *(shown(self._segment, raw, "TS") for raw in others))))
        # Some senders write midnight behind a date of birth.
        return moment(date[:8] if len(date) in (12, 14) and not date[8:].strip("0") else date)

    def _name(self) -> PersonName | None:
        """The legal name, or else the first; the others are shown beside it."""
        given = self._given(5)
        if not given:
            return None
        legal = next((raw for raw in given if Parts(self._segment, raw).take(7) == "L"), given[0])
        for raw in given:
            if raw != legal:
                self._rest(5, shown(self._segment, raw, "XPN"))
        parts = Parts(self._segment, legal)
        name = person_name(parts)
        self._rest(5, parts.rest(_USES))
        return name

    def _address(self) -> Address | None:
        first = None
        for raw in self._given(11):
            if first is None:
                parts = Parts(self._segment, raw)
                first, whole = address(parts)
                self._rest(11, joined((whole, parts.rest(_ADDRESS_KINDS))))
            else:
                self._rest(11, shown(self._segment, raw, "XAD"))
        return first

    def _telephones(self) -> Iterable[str]:
        for number in (13, 14):
            for raw in self._given(number):
                parts = Parts(self._segment, raw)
                if found := telephone(parts):
                    yield found
                self._rest(number, parts.rest(_TELEPHONE_KINDS))


def insurer(segment: Segment) -> Party:
    """IN1."""
    return _party(segment, Role.INSURER, numbers=3, organisation=4, home=5, telephones=(7,))


def contact(segment: Segment) -> Party:
    """NK1."""
    return _party(segment, Role.CONTACT, person=2, organisation=13, home=4, telephones=(5, 6))


def _party(
    segment: Segment, role: Role, *, home: int, organisation: int, telephones: tuple[int, ...], numbers: int = 0,
    person: int = 0,
) -> Party:  # fmt: skip
    """A party from a segment with these fields: of a field with repetitions only the first has a place in it."""
    others: list[Pair] = []

    def first(number: int, type: str) -> Parts:
        repetitions = segment.repetitions(number) if number and segment.raw(number) != DELETED else []
        for raw in repetitions[1:]:
            if text := shown(segment, raw, type):
                others.append(Pair(name_of(segment.tag, number).text, text, segment.place(str(number))))
        return Parts(segment, repetitions[0] if repetitions else "")

    def rest(number: int, text: str) -> None:
        if text:
            others.append(Pair(name_of(segment.tag, number).text, text, segment.place(str(number))))

    identifiers = []
    if numbers and segment.raw(numbers) != DELETED:
        for raw in segment.repetitions(numbers):
            found, remainder = identifier(Parts(segment, raw))
            identifiers.append(found)
            rest(numbers, remainder)
    called = first(person, "XPN")
    name = person_name(called)
    rest(person, called.rest(_USES))
    unit = first(organisation, "XON")
    organised = unit.take(1)
    rest(organisation, unit.rest())
    house = first(home, "XAD")
    where, whole = address(house)
    rest(home, joined((whole, house.rest(_ADDRESS_KINDS))))
    reached = []
    for number in telephones:
        parts = first(number, "XTN")
        reached.append(telephone(parts))
        rest(number, parts.rest(_TELEPHONE_KINDS))
    others += left(segment, {numbers, person, organisation, home, *telephones} - {0})
    return Party(
        role, name if name != PersonName() else None, organised, address=where if segment.raw(home) else None,
        telephones=tuple(each for each in reached if each),
        identifiers=tuple(each for each in identifiers if each.value or each.system), others=tuple(others),
    )  # fmt: skip
