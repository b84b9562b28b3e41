"""What belongs together in an HL7 message: patients, orders with their specimens, results and remarks.

The standard's message structures (HL7 2.5 chapters 3, 4 and 7) are what senders mean, but not always what they
write. So nothing here wants a structure; a segment goes to what it most likely belongs to:

* OBX to the order that is open, NTE to what stands before it;
* OBR to the ORC before it, or to an earlier ORC with its number; ORC behind its OBR (as in OUL^R22) the same;
* SPM before the first order is the specimen of all orders up to the next SPM; behind an order it is that order's,
  and in OUL^R22 that of all orders that have none yet;
* PID of another patient opens a part of its own;
* what isn't known stays where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relayd.edi.hl7 import Message, Segment

#: Segments of an order that say more of it, wherever among its results they stand.
_DETAILS = frozenset({"TQ1", "TQ2", "TCD", "CTD", "CTI", "BLG", "FT1", "SAC", "INV", "SID", "DG1"})
#: Segments of the patient and his visit, which belong to no order even behind one.
_PATIENT = frozenset({"PD1", "NK1", "PV1", "PV2", "IN1", "IN2", "IN3", "GT1", "AL1", "IAM", "MRG", "ROL"})
#: Specimens that several orders can share; in a message of more, the rest stand by themselves.
_MOST_SPECIMENS = 20
_AROUND = frozenset({"MSH", "SFT", "DSC", "EVN", "MSA", "ERR", "QAK", "QPD", "UAC", "TXA"})


@dataclass(slots=True)
class Item:
    """A segment with the remarks (NTE) that stand behind it."""

    segment: Segment
    notes: list[Segment] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Group:
    """An order: its ORC and OBR, in whatever order they came, and what hangs on it. ``items`` are its observations
    and, in their place among them, segments that aren't known."""

    orc: Segment | None = None
    obr: Segment | None = None
    specimens: list[Item] = field(default_factory=list)
    details: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """One patient's part of a message. ``items`` are its orders and the segments outside them, as they came."""

    patient: Segment | None = None
    patient_notes: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)
    around: list[Segment] = field(default_factory=list)
    items: list[Item | Group] = field(default_factory=list)


def parts_of(message: Message) -> list[Part]:
    """The message's segments, each in exactly one place; at least one part."""
    return _Grouping(message).parts()


class _Grouping:
    def __init__(self, message: Message) -> None:
        self._segments = message.segments
        header = message.header
        #: In OUL^R22, OBR stands before its ORC and SPM before both (HL7 2.5 §7.3.7).
        self._is_oul = header is not None and header.value(9) == "OUL"
        self._parts = [Part()]
        self._notes = self._parts[0].notes
        self._reset()

    def _reset(self) -> None:
        self._group: Group | None = None
        self._specimens: list[Item] = []
        self._is_specimen_used = True
        self._specimen_first: bool | None = None
        #: Groups since the last SPM, for one that stands behind them.
        self._without_specimen: list[Group] = []
        self._specimen_groups: list[Group] = []
        self._after_specimen = False
        self._waiting: dict[str, Group] = {}
        self._orderless: dict[str, Group] = {}

    def parts(self) -> list[Part]:
        for index, segment in enumerate(self._segments):
            tag = segment.tag
            if tag == "OBX":
                self._take_observation(segment)
            elif tag == "NTE":
                self._notes.append(segment)
            elif tag == "OBR":
                self._take_request(segment)
            elif tag == "ORC":
                self._take_order(segment, self._segments[index + 1] if index + 1 < len(self._segments) else None)
            elif tag == "SPM":
                self._take_specimen(segment)
            elif tag == "PID":
                self._take_patient(segment)
            else:
                self._take_other(segment)
            if tag not in ("SPM", "NTE"):
                self._after_specimen = False
        self._keep_specimens()
        return self._parts

    def _keep_specimens(self) -> None:
        """Specimens without an order stay by themselves."""
        if not self._is_specimen_used:
            self._parts[-1].items += self._specimens
        self._is_specimen_used = True

    def _take_patient(self, segment: Segment) -> None:
        part = self._parts[-1]
        if part.patient is not None and not _is_same_patient(part.patient, segment):
            self._keep_specimens()
            part = Part()
            self._parts.append(part)
            self._reset()
        if part.patient is None:
            part.patient = segment
        else:
            self._group = None
            part.items.append(Item(segment))
        self._notes = part.patient_notes

    def _take_request(self, segment: Segment) -> None:
        group = None
        for number in _numbers(segment):
            group = group or self._waiting.pop(number, None)
        if group is None or group.obr is not None:
            group = self._group
        if group is None or group.obr is not None or group.orc is None or group.items:
            group = self._open_group()
        group.obr = segment
        self._group = group
        if group.orc is None:
            self._orderless.update(dict.fromkeys(_numbers(segment), group))
        self._notes = group.notes

    def _take_order(self, segment: Segment, following: Segment | None) -> None:
        numbers = _numbers(segment)
        group = self._group
        if group is not None and group.obr is not None and group.orc is None and not group.items:
            fits = self._is_oul or bool(set(numbers) & set(_numbers(group.obr)))
            group = group if fits else None
        else:
            group = None
        is_before = following is not None and following.tag == "OBR" and set(numbers) <= set(_numbers(following))
        if group is None and not is_before:
            late = (self._orderless.pop(number, None) for number in numbers)
            group = next((each for each in late if each is not None and each.orc is None), None)
        if group is None:
            group = self._open_group()
            self._waiting.update(dict.fromkeys(numbers, group))
        group.orc = segment
        self._group = group
        self._notes = group.notes

    def _take_specimen(self, segment: Segment) -> None:
        item = Item(segment)
        self._notes = item.notes
        known = self._specimens if self._specimen_first else self._group.specimens if self._group else []
        if self._after_specimen and len(known) >= _MOST_SPECIMENS:
            self._parts[-1].items.append(item)
            return
        if self._specimen_first is None:
            self._specimen_first = self._group is None
        if self._specimen_first:
            if not self._after_specimen:
                self._keep_specimens()
                self._specimens = []
            self._specimens = [*self._specimens, item]
            self._is_specimen_used = False
            self._group = None
        elif self._group is not None:
            if not self._after_specimen:
                self._specimen_groups = (self._is_oul and self._without_specimen) or [self._group]
                self._without_specimen = []
            for group in self._specimen_groups:
                group.specimens.append(item)
        else:
            self._parts[-1].items.append(item)
        self._after_specimen = True

    def _take_observation(self, segment: Segment) -> None:
        group = self._group or self._open_group()
        item = Item(segment)
        group.items.append(item)
        self._notes = item.notes

    def _take_other(self, segment: Segment) -> None:
        part, tag = self._parts[-1], segment.tag
        if tag in _AROUND:
            part.around.append(segment)
            self._notes = part.notes
        elif self._group is not None and tag in _DETAILS:
            self._group.details.append(segment)
        elif self._group is not None and tag not in _PATIENT:
            self._group.items.append(Item(segment))
        else:
            item = Item(segment)
            part.items.append(item)
            self._notes = item.notes

    def _open_group(self) -> Group:
        group = Group(specimens=list(self._specimens) if self._specimen_first else [])
        self._is_specimen_used = True
        self._parts[-1].items.append(group)
        if not self._specimen_first:
            self._without_specimen.append(group)
        self._group = group
        return group


def _numbers(segment: Segment) -> list[str]:
    """The numbers of an order that ORC and OBR both have: the placer's and the filler's."""
    return [f"{field}{value}" for field in (2, 3) if (value := segment.value(field))]


def _is_same_patient(one: Segment, other: Segment) -> bool:
    if one.raw(3) or other.raw(3):
        return one.raw(3) == other.raw(3)
    return one.raw(5) == other.raw(5)
