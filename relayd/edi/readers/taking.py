"""What the readers of EDIFACT share: taking a segment's values so that none is forgotten, dates, texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relayd.edi.edifact import Segment
from relayd.edi.model import Address, Block, Element, Pair, Party, Patient, Place, Text, Unread
from relayd.edi.names import Dialect, Label, element_name, segment_rule

_ALL = 1_000
_BREAK = re.compile(r"\r\n|\r|\n")
#: MEDSPE of version 3 writes a value that is deliberately empty so.
EMPTY = '""'


@dataclass(frozen=True, slots=True)
class Context:
    """What an interchange says of all its messages. ``year`` is that of its date: two digits are read near it."""

    year: int
    prepared: str
    sender: str
    receiver: str
    test: bool


@dataclass(slots=True)
class Draft:
    """What a reader of one family has found in a message. ``technical`` is what only systems need: it is shown with
    the envelope."""

    dated: str = ""
    parties: list[Party] = field(default_factory=list)
    patient: Patient | None = None
    blocks: list[Block] = field(default_factory=list)
    technical: list[Unread] = field(default_factory=list)


def place(segment: Segment, element: str = "") -> Place:
    return Place(segment.line, segment.number, segment.tag, element)


def time_apart(unb: Segment) -> bool:
    """Austrian senders write the time of UNB as an element of its own, and all behind it one further."""
    time = unb.get(5)
    return not unb.get(4, 2) and len(time) == 4 and time.isdigit() and len(unb.elements) > 5


class Taken:
    """The values of a segment, and which of them have found their place. Positions count from 1."""

    __slots__ = ("_dialect", "_segment", "_taken", "elements")

    def __init__(self, segment: Segment, dialect: Dialect) -> None:
        self.elements = segment.elements
        self._segment = segment
        self._dialect = dialect
        self._taken: dict[int, int] = {}

    def text(self, element: int) -> str:
        """A simple element: separators that should have been released are text of it."""
        self._taken[element] = _ALL
        if element > len(self.elements):
            return ""
        components = self.elements[element - 1]
        value = components[0] if len(components) == 1 else joined(components)
        return "" if value == EMPTY else value

    def parts(self, element: int, count: int) -> list[str]:
        """The first ``count`` components of an element, "" where there is none."""
        self._taken[element] = max(count, self._taken.get(element, 0))
        components = self.elements[element - 1][:count] if element <= len(self.elements) else []
        return ["" if value == EMPTY else value for value in components] + [""] * (count - len(components))

    def place(self, element: str = "") -> Place:
        return place(self._segment, element)

    def rest(self) -> tuple[Pair, ...]:
        """What nothing has taken."""
        if all(self._taken.get(at, 0) >= len(parts) for at, parts in enumerate(self.elements, 1)):
            return ()
        return tuple(
            Pair(
                element_name(self._dialect, self._segment.tag, at, component) or Label.FURTHER,
                value,
                self.place(position(self.elements, at, component)),
            )
            for at, parts in enumerate(self.elements, 1)
            for component, value in enumerate(parts, 1)
            if value and value != EMPTY and component > self._taken.get(at, 0)
        )


def position(elements: list[list[str]], element: int, component: int) -> str:
    return f"{element}.{component}" if len(elements[element - 1]) > 1 else str(element)


def unread(segment: Segment, dialect: Dialect) -> Unread:
    """A segment as it stands, with the names of what it has."""
    if not segment.tag:
        return Unread("", "", written=segment.written, place=place(segment))
    rule = segment_rule(dialect, segment.tag)
    elements = segment.elements
    counters = [Element(f"0.{at}", Label.COUNTER, value) for at, value in enumerate(segment.counters, 1) if value]
    values = [
        Element(position(elements, at, component), element_name(dialect, segment.tag, at, component), value)
        for at, parts in enumerate(elements, 1)
        for component, value in enumerate(parts, 1)
        if value
    ]
    return Unread(segment.tag, rule.name if rule else "", (*counters, *values), place=place(segment))


def joined(components: list[str]) -> str:
    """Components as they were written, without the empty ones at their end."""
    last = max((at for at, value in enumerate(components, 1) if value), default=0)
    return ":".join(components[:last])


def line(segment: Segment) -> str:
    """The text of a segment that has one line of it; separators that should have been released belong to it."""
    return "+".join([":".join(components) for components in segment.elements])


def lines(written: str) -> list[str]:
    return _BREAK.split(written)


def text_block(written: Iterable[str], title: str, start: Place, *, flowing: bool) -> Text:
    """Lines as they came, each broken where it holds a break of its own."""
    broken: list[str] = []
    for value in written:
        broken.extend(lines(value) if "\r" in value or "\n" in value else [value])
    return Text(tuple(broken), title, flowing, start)


def address(taken: Taken, element: int) -> Address | None:
    """The address of the messages of version 1."""
    street, number, box, city, postcode, region, country = taken.parts(element, 7)
    found = Address(street, number, box, postcode, city, region, country)
    return found if found != _NOWHERE else None


_NOWHERE = Address()


def telephones(*numbers: str) -> tuple[str, ...]:
    return tuple([number for number in numbers if number])


def window(two_digits: int, year: int) -> int:
    """The year that ends so, from 89 years before to 10 after ``year``: dates of messages lie behind them mostly."""
    found = year - year % 100 + two_digits
    if found > year + 10:
        return found - 100
    return found + 100 if found < year - 89 else found


def iso_date(year: str, month: str, day: str, near: int) -> str:
    """ISO 8601 as exact as given, or "" for what is no date. Months and days of zeros are not known."""
    if not (year.isdigit() and len(year) in (2, 4) and year.isascii()):
        return ""
    number = int(year) if len(year) == 4 else window(int(year), near)
    if not month.strip("0") and not day.strip("0"):
        return f"{number:04}"
    if not _within(month, 12):
        return ""
    if not day.strip("0"):
        return f"{number:04}-{int(month):02}"
    return f"{number:04}-{int(month):02}-{int(day):02}" if _within(day, _days(number, int(month))) else ""


def iso_time(hour: str, minute: str, second: str = "") -> str:
    """ISO 8601, or "" for what is no time."""
    parts = [hour, minute, *([second] if second else [])]
    if any(not part.isdigit() or not part.isascii() or len(part) > 2 for part in parts):
        return ""
    if int(hour) > 23 or any(int(part) > 59 for part in parts[1:]):
        return ""
    return ":".join(part.zfill(2) for part in parts)


def _within(value: str, most: int) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 2 and 1 <= int(value) <= most


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def iso_digits(value: str, near: int) -> str:
    """ISO 8601 from digits in a row (YYMMDD, CCYYMMDD, CCYYMMDDHHMM, …SS), or "" for what is no date. A time of
    nothing but zeros, as writers of dates without a time fill in, is kept."""
    if not (value.isdigit() and value.isascii() and len(value) in (4, 6, 8, 10, 12, 14)):
        return ""
    if len(value) == 4:
        return iso_date(value, "", "", near)
    year = 2 if len(value) in (6, 10) else 4
    date = iso_date(value[:year], value[year : year + 2], value[year + 2 : year + 4], near)
    rest = value[year + 4 :]
    if not rest or len(date) != 10:
        return date if not rest else ""
    time = iso_time(rest[:2], rest[2:4], rest[4:6])
    return f"{date}T{time}" if time else ""


def moment(date: list[str], time: list[str], near: int) -> str:
    """ISO 8601 of the date and the time of an element each, as exact as given, or the sender's text of both."""
    found = (
        iso_digits(date[0], near)
        if len([part for part in date if part]) == 1
        else iso_date(date[0], date[1], date[2], near)
    )
    clock = time if time[1] or len(time[0]) != 4 else [time[0][:2], time[0][2:], ""]
    at = iso_time(*clock[:3]) if any(time) else ""
    if not any(date):
        return at or joined(time)
    if not found or (any(time) and (not at or len(found) != 10)):
        return " ".join(filter(None, (joined(date), joined(time))))
    return f"{found}T{at}" if at else found
