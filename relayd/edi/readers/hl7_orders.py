"""Orders of an HL7 message as blocks of the model: tables of results, texts, documents, requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from relayd.edi.hl7 import Segment
from relayd.edi.model import (
    Block,
    Code,
    Embedded,
    Fields,
    Finding,
    Flag,
    Heading,
    Kind,
    Pair,
    Party,
    Result,
    Results,
    Severity,
    Status,
    Text,
)
from relayd.edi.names_hl7 import FLAGS, ROLES, STATUS_DETAILS, STATUSES, name_of
from relayd.edi.readers.hl7_groups import Group, Item
from relayd.edi.readers.hl7_parts import note_lines, parties, unread
from relayd.edi.readers.hl7_values import (
    DELETED,
    VALUE_TYPES,
    Parts,
    address,
    code_text,
    codes,
    embedded,
    is_embedded,
    is_single,
    joined,
    left,
    limits,
    moment,
    shown,
    telephone,
    value,
)

_TEXT_TYPES: Final = frozenset({"TX", "FT", "ST"})
#: Messages whose text is to be read as text, not as cells of a table.
_PROSE: Final = frozenset({Kind.LETTER, Kind.RADIOLOGY})
_UNFINISHED: Final = frozenset({"A", "I", "O", "P", "S"})
#: What CWE says of its own table of flags.
_FLAG_TABLE: Final = "HL70078"
_UNIT_SYSTEMS: Final = frozenset({"UCUM", "ISO+", "ANS+", "ISO"})


@dataclass(slots=True)
class Head:
    """What an order says besides its results."""

    title: str = ""
    codes: tuple[Code, ...] = ()
    number: str = ""
    sampled: str = ""
    reported: str = ""
    specimen: str = ""
    status: Status = Status.NONE
    complete: bool | None = None
    notes: tuple[str, ...] = ()
    others: list[Pair] = field(default_factory=list)
    place: Segment | None = None


@dataclass(slots=True)
class _Prose:
    """Texts of one determination on consecutive OBX."""

    name: str
    written: str
    lines: list[str]
    others: tuple[Pair, ...]
    segment: Segment


class Orders:
    """Makes the blocks of one part's orders. ``parties`` and ``findings`` collect what they say of others and what
    is odd in them."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.parties: list[Party] = []
        self.findings: list[Finding] = []
        self.statuses: list[Status] = []
        #: Of each SPM (by its item) that has been read: name, time of collection, and what else it says.
        self._specimens: dict[int, tuple[str, str, list[Pair]]] = {}

    def blocks(self, groups: Sequence[Group]) -> list[Block]:
        """The blocks of orders that follow each other. Orders of one test each, alike in all else, are one table."""
        blocks: list[Block] = []
        run: list[Results] = []
        for group in groups:
            head = self._head(group)
            made = self._group_blocks(group, head)
            single = made[0] if len(made) == 1 and _is_of_its_order(made[0], head) else None
            if run and (single is None or not _are_alike(run[-1], single)):
                blocks.append(_one_table(run))
                run = []
            if isinstance(single, Results):
                run.append(single)
            else:
                blocks += made
        return [*blocks, _one_table(run)] if run else blocks

    def _group_blocks(self, group: Group, head: Head) -> list[Block]:
        observations = [item for item in group.items if item.segment.tag == "OBX"]
        self.statuses.append(head.status)
        is_order = self._kind in (Kind.ORDER, Kind.ACKNOWLEDGEMENT) or (self._kind is Kind.UNKNOWN and not observations)
        blocks: list[Block] = []
        rows: list[Result | Heading] = []
        prose: list[_Prose] = []
        documents: list[Block] = []
        tables: list[int] = []

        def flush() -> None:
            if rows:
                tables.append(len(blocks))
                place = rows[0].place
                blocks.append(Results(tuple(rows), place=place))
                rows.clear()
            for text in prose:
                if text.name and text.name != head.title:
                    blocks.append(Heading(text.name, text.segment.place("3")))
                blocks.append(Text(tuple(text.lines), place=text.segment.place("5")))
                if text.others:
                    blocks.append(Fields(text.others))
            prose.clear()

        for item in group.items:
            segment = item.segment
            if segment.tag != "OBX":
                flush()
                blocks.append(unread(segment))
                continue
            type = segment.value(2).upper()
            if any(is_embedded(segment, raw, type) for raw in segment.repetitions(5)):
                # A table isn't torn apart for a document among its results.
                documents += self._documents(item, type)
            elif self._is_prose(segment, type):
                if rows:
                    flush()
                self._add_prose(prose, item)
            else:
                if prose:
                    flush()
                self._add_result(rows, item, type, head)
        flush()
        blocks += documents
        if is_order:
            return [_request(head), *blocks]
        if tables:
            first = tables[0]
            table = blocks[first]
            assert isinstance(table, Results)
            blocks[first] = _headed(table, head)
            return blocks
        if blocks:
            fields = _request(head)
            titled: list[Block] = [Heading(head.title, fields.pairs[0].place)] if head.title else []
            pairs = fields.pairs[1:] if head.title else fields.pairs
            return [*titled, *([Fields(pairs)] if pairs else []), *blocks]
        if group.obr is None:
            return [_request(head)]
        row = Result(head.title, status=head.status, codes=head.codes, place=group.obr.place())
        return [_headed(Results((row,), place=group.obr.place()), head)]

    # The order's own segments

    def _head(self, group: Group) -> Head:
        head = Head(place=group.obr or group.orc)
        obr, orc = group.obr, group.orc
        placer = filler = ""
        if obr is not None:
            parts = Parts(obr, obr.raw(4))
            head.title, head.codes = codes(parts)
            rest = parts.rest()
            if rest:
                head.others.append(Pair(name_of("OBR", 4).text, rest, obr.place("4")))
            placer, filler = obr.raw(2), obr.raw(3)
            head.sampled, head.reported = shown(obr, obr.raw(7), "TS"), shown(obr, obr.raw(22), "TS")
            status = obr.value(25)
            head.status = STATUSES.get(status, Status.NONE)
            head.complete = False if status in _UNFINISHED else None
            is_plain = head.status is not Status.NONE and status not in STATUS_DETAILS and is_single(obr, 25)
            taken = {3, 4, 7, 22, *((25,) if is_plain else ())}
            head.others += self._with_parties(obr, taken)
            number = shown(obr, filler, "EI")
            head.number = number
        if orc is not None:
            taken = {number for number, raw in ((2, placer), (3, filler)) if raw and raw == orc.raw(number)}
            if not head.number and orc.raw(3):
                head.number = shown(orc, orc.raw(3), "EI")
                taken.add(3)
            pairs = self._with_parties(orc, taken)
            head.others = [*pairs, *head.others]
        self._read_specimens(group, head)
        if obr is not None and obr.raw(15) not in ("", DELETED) and not head.specimen:
            head.specimen = joined((shown(obr, raw, "SPS") for raw in obr.repetitions(15)), ", ")
            head.others = [pair for pair in head.others if pair.place != obr.place("15")]
        for segment in group.details:
            head.others += left(segment, ())
        head.notes = (*head.notes, *note_lines(group.notes))
        known = {(pair.label, pair.value): pair for pair in reversed(head.others)}
        head.others = [pair for pair in head.others if known[pair.label, pair.value] is pair]
        return head

    def _with_parties(self, segment: Segment, taken: set[int]) -> list[Pair]:
        """What is left of an ORC or OBR without its people, who become parties."""
        taken = set(taken)
        for tag, number in ROLES:
            if tag == segment.tag and segment.raw(number) not in ("", DELETED):
                found = parties(segment, number)
                if tag == "ORC" and number == 12 and found:
                    found[0] = self._with_facility(found[0], segment, taken)
                self.parties += found
                taken.add(number)
        return left(segment, taken)

    def _with_facility(self, party: Party, orc: Segment, taken: set[int]) -> Party:
        """The requester with his organisation, its address and telephone (ORC-21 to ORC-23)."""
        if any(len(orc.repetitions(number)) > 1 for number in (14, 21, 22, 23)):
            return party
        organisation, home = Parts(orc, orc.raw(21)), Parts(orc, orc.raw(22))
        name = organisation.take(1)
        found, whole = address(home)
        telephones = []
        rests = [("21", organisation.rest()), ("22", joined((whole, home.rest())))]
        for number in (14, 23):
            parts = Parts(orc, orc.raw(number))
            telephones.append(telephone(parts))
            rests.append((str(number), parts.rest(frozenset({"WPN", "PRN", "PH", "CP"}))))
        taken |= {14, 21, 22, 23}
        others = tuple(
            Pair(name_of("ORC", int(number)).text, rest, orc.place(number)) for number, rest in rests if rest
        )
        return replace(
            party, organisation=name, address=found if orc.raw(22) else None,
            telephones=tuple(each for each in telephones if each), others=(*party.others, *others),
        )  # fmt: skip

    def _read_specimens(self, group: Group, head: Head) -> None:
        names: list[str] = []
        for item in group.specimens:
            is_new = id(item) not in self._specimens
            if is_new:
                self._specimens[id(item)] = _specimen(item.segment)
            name, period, pairs = self._specimens[id(item)]
            names.append(name)
            head.others += pairs
            if not head.sampled:
                head.sampled = period
            elif period not in ("", head.sampled):
                head.others.append(Pair(name_of("SPM", 17).text, period, item.segment.place("17")))
            if is_new:
                head.notes = (*head.notes, *note_lines(item.notes))
        head.specimen = joined(names, ", ")

    # Observations

    def _is_prose(self, segment: Segment, type: str) -> bool:
        if self._kind not in _PROSE or type not in _TEXT_TYPES:
            return False
        return not any(segment.raw(number) for number in (6, 7, 8))

    def _add_prose(self, prose: list[_Prose], item: Item) -> None:
        segment = item.segment
        name, given, others = self._test(segment)
        others += left(segment, {2, 3, 4, 5, *((11,) if segment.raw(11) == "F" else ())})
        if segment.raw(4).strip("0123456789"):
            others.append(Pair(name_of("OBX", 4).text, segment.unescape(segment.raw(4)), segment.place("4")))
        pairs = (*(_code_pair(segment, code) for code in given), *others)
        lines = [line for text in _texts(segment) for line in text.split("\n")]
        notes = note_lines(item.notes)
        last = prose[-1] if prose else None
        if last is not None and last.written == segment.raw(3) and _said(last.others) == _said(pairs):
            last.lines += [*lines, *notes]
        else:
            prose.append(_Prose(name, segment.raw(3), [*lines, *notes], pairs, segment))

    def _add_result(self, rows: list[Result | Heading], item: Item, type: str, head: Head) -> None:
        result = self._result(item, type, head)
        last = rows[-1] if rows else None
        if result.is_bare:
            rows.append(Heading(result.name, result.place))
        elif isinstance(last, Result) and type in _TEXT_TYPES and _goes_on(last, result):
            rows[-1] = replace(last, values=last.values + result.values, notes=result.notes)
        else:
            rows.append(result)
        self.statuses.append(result.status)

    def _result(self, item: Item, type: str, head: Head) -> Result:
        segment = item.segment
        name, given, others = self._test(segment)
        values: list[str] = []
        for index, raw in enumerate(segment.repetitions(5), 1):
            text, value_codes = value(segment, raw, type)
            values.append(text)
            place = segment.place(f"5[{index}]" if index > 1 else "5")
            others += [Pair("Code of the value", code_text(code), place) for code in value_codes]
        unit, unit_rest = _unit(segment)
        if unit_rest:
            others.append(Pair(name_of("OBX", 6).text, unit_rest, segment.place("6")))
        low, high, range = limits(segment.unescape(segment.raw(7)))
        flag, flag_text = _flag(segment)
        status = STATUSES.get(segment.value(11), Status.NONE)
        taken = {2, 3, 5, 6, 7, 8}
        if status is not Status.NONE:
            taken |= {11} if segment.value(11) not in STATUS_DETAILS and is_single(segment, 11) else set()
        elif segment.raw(11):
            text = "The status of a result isn't known: %(code)s"
            found = Finding(Severity.WARNING, text, segment.place("11"), {"code": segment.value(11)[:20]})
            self.findings.append(found)
        observed = ""
        if segment.raw(14) != DELETED and is_single(segment, 14):
            observed = moment(segment.value(14))
            taken.add(14)
        if type and type not in VALUE_TYPES:
            others.append(Pair(name_of("OBX", 2).text, type, segment.place("2")))
        others += left(segment, taken)
        return Result(
            name, tuple(values), unit, low, high, range, flag, flag_text, status, given,
            notes=note_lines(item.notes), observed=observed if observed != head.sampled else "",
            others=tuple(others), place=segment.place(),
        )  # fmt: skip

    def _test(self, segment: Segment) -> tuple[str, tuple[Code, ...], list[Pair]]:
        """OBX-3: the determination's name, codes, and what else it says."""
        parts = Parts(segment, segment.raw(3))
        name, given = codes(parts)
        rest = parts.rest()
        return name, given, [Pair(name_of("OBX", 3).text, rest, segment.place("3"))] if rest else []

    def _documents(self, item: Item, type: str) -> list[Block]:
        segment = item.segment
        name, given, others = self._test(segment)
        others += [_code_pair(segment, code) for code in given]
        others += left(segment, {2, 3, 5})
        blocks: list[Block] = []
        for raw in segment.repetitions(5):
            if not is_embedded(segment, raw, type):
                text, value_codes = value(segment, raw, type)
                lines = (*text.split("\n"), *map(code_text, value_codes))
                blocks.append(Text(lines, place=segment.place("5")))
                continue
            data, media_type, source = embedded(segment, raw)
            pairs = (*others, Pair("Source application", source, segment.place("5.1"))) if source else tuple(others)
            if data is None:
                text = "A document in the message can't be decoded"
                self.findings.append(Finding(Severity.ERROR, text, segment.place("5")))
            elif media_type == "application/pdf" and not data.startswith(b"%PDF-"):
                text = "A document in the message says that it is a PDF, but isn't"
                self.findings.append(Finding(Severity.WARNING, text, segment.place("5")))
            written = segment.unescape(raw) if data is None else ""
            blocks.append(Embedded(name, media_type, data, written, pairs, segment.place("5")))
            others = []
        notes = note_lines(item.notes)
        return [*blocks, Text(notes, "Remark", place=segment.place())] if notes else blocks


def _specimen(segment: Segment) -> tuple[str, str, list[Pair]]:
    parts = Parts(segment, segment.raw(4))
    name, given = codes(parts)
    others = [text for text in (*map(code_text, given), parts.rest()) if text not in ("", name)]
    pairs = [Pair(name_of("SPM", 4).text, text, segment.place("4")) for text in others]
    return name, shown(segment, segment.raw(17), "DR"), [*pairs, *left(segment, {4, 17})]


def _texts(segment: Segment) -> list[str]:
    return [segment.unescape(raw) for raw in segment.repetitions(5)]


def _code_pair(segment: Segment, code: Code) -> Pair:
    return Pair("Code", code_text(code), segment.place("3"))


def _said(pairs: Iterable[Pair]) -> set[tuple[str, str]]:
    return {(pair.label, pair.value) for pair in pairs}


def _unit(segment: Segment) -> tuple[str, str]:
    """OBX-6: the unit as it is to be printed, and what else it says."""
    parts = Parts(segment, segment.raw(6))
    code, text, system = parts.take(1), parts.take(2), parts.take(3)
    if not code or (text and code.isdigit()):
        code, text = text, code
    known = system.upper() in _UNIT_SYSTEMS
    said = (text if text != code else "", "" if known else system, parts.rest(_UNIT_SYSTEMS | {code.upper()}))
    return code, joined(said)


def _flag(segment: Segment) -> tuple[Flag, str]:
    """OBX-8: the first flag that is known, "normal" only where there is no other; and what the sender says besides."""
    each = [[segment.unescape(part) for part in segment.components(raw)] for raw in segment.repetitions(8)]
    known = [parts[0] for parts in each if parts[0].upper() in FLAGS]
    if not any(part.strip() for parts in each for part in parts):
        return Flag.NONE, ""
    if not known:
        return Flag.OTHER, joined(" ".join(parts) for parts in each)
    code = next((code for code in known if FLAGS[code.upper()] is not Flag.NORMAL), known[0])
    said = [part for parts in each for part in parts if part not in (code, _FLAG_TABLE)]
    return FLAGS[code.upper()], joined(said)


def _goes_on(last: Result, result: Result) -> bool:
    """Whether a text is the next line of the one before: the same determination and nothing new but text."""
    if last.notes or not last.values or not result.values or (last.name, last.codes) != (result.name, result.codes):
        return False
    if any((last.unit, last.low, last.range, last.flag, result.unit, result.low, result.range, result.flag)):
        return False
    number = name_of("OBX", 4).text
    others = [pair for pair in result.others if pair.label != number or pair.value.strip("0123456789")]
    alike = (last.status, last.observed) == (result.status, result.observed)
    return alike and _said(others) <= _said(last.others)


def _headed(table: Results, head: Head) -> Results:
    """A table with what its order says."""
    first = {(code.value, code.system) for row in table.rows if isinstance(row, Result) for code in row.codes}
    segment = head.place
    new = [code for code in head.codes if (code.value, code.system) not in first or code.text]
    pairs = [_code_pair(segment, code) for code in new] if segment is not None else []
    return replace(
        table, title=head.title, sampled=head.sampled, reported=head.reported, specimen=head.specimen,
        number=head.number, complete=head.complete, status=head.status, notes=head.notes,
        others=(*pairs, *head.others),
    )  # fmt: skip


def _request(head: Head) -> Fields:
    """An order whose results aren't there."""
    segment = head.place
    at = segment.place() if segment is not None else None
    named = (
        (name_of("OBR", 4).text, head.title),
        *(("Code", code_text(code)) for code in head.codes if code_text(code) != head.title),
        (name_of("ORC", 3).text, head.number),
        (name_of("SPM", 4).text, head.specimen),
        (name_of("OBR", 7).text, head.sampled),
        (name_of("OBR", 22).text, head.reported),
        *((name_of("NTE", 3).text, note) for note in head.notes),
    )
    pairs = [Pair(label, text, at) if at else Pair(label, text) for label, text in named if text]
    if head.status is not Status.NONE and segment is not None:
        pairs.append(Pair(name_of("OBR", 25).text, segment.value(25), segment.place("25"), head.status.value))
    return Fields((*pairs, *head.others), name_of("OBR", 4).text if not head.title else "Order")


def _is_of_its_order(block: Block, head: Head) -> bool:
    """Whether it is a table of one row that is the very test that was ordered."""
    if not isinstance(block, Results) or len(block.rows) != 1 or block.notes or not block.title:
        return False
    row = block.rows[0]
    if not isinstance(row, Result):
        return False
    ordered = {(code.value, code.system) for code in head.codes if code.value}
    return row.name == head.title or any((code.value, code.system) in ordered for code in row.codes)


def _are_alike(one: Results, other: Block) -> bool:
    return isinstance(other, Results) and (one.specimen, one.sampled, one.complete) == (
        other.specimen, other.sampled, other.complete,
    )  # fmt: skip


def _one_table(tables: Sequence[Results]) -> Results:
    """Tables of one row each as one: what is its order's own goes to the row."""
    first = tables[0]
    if len(tables) == 1:
        return first
    common = set.intersection(*(_said(table.others) for table in tables))
    reported = first.reported if all(table.reported == first.reported for table in tables) else ""
    rows: list[Result] = []
    for table in tables:
        row = table.rows[0]
        assert isinstance(row, Result)
        named = (
            (name_of("OBR", 4).text, table.title if table.title != row.name else ""),
            (name_of("ORC", 3).text, table.number),
            (name_of("OBR", 22).text, table.reported if not reported else ""),
        )
        own = [Pair(label, text, row.place) for label, text in named if text]
        own += [pair for pair in table.others if (pair.label, pair.value) not in common]
        status = row.status if row.status is not Status.NONE else table.status
        rows.append(replace(row, status=status, others=(*row.others, *own)))
    return replace(
        first, rows=tuple(rows), title="", number="", reported=reported,
        status=first.status if all(table.status == first.status for table in tables) else Status.NONE,
        others=tuple(pair for pair in first.others if (pair.label, pair.value) in common),
    )  # fmt: skip
