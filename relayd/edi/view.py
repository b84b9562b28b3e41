"""What a page or a text of an EDI message shows: every label in the reader's language, every value ready to print.

Templates get these values and nothing else. Strings hold no control characters and no marks that turn the direction
of writing; HTML is still to be escaped. ``""`` and ``()`` are "not given" and leave no trace on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Line:
    """A label with its value. ``remark`` is our word on it ("valid number"), ``wrong`` when that is a warning."""

    label: str
    value: str
    remark: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """The patient or a party: ``role`` is its label, ``lines`` stand below the name without a label."""

    role: str
    name: str
    lines: tuple[str, ...] = ()
    facts: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding: ``severity`` is "error", "warning" or "note" (for style sheets), ``label`` its word."""

    severity: str
    label: str
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class FlagShown:
    """``style`` is "high", "low", "abnormal", "normal" or "other"; symbol and word together say it without colour."""

    style: str
    symbol: str
    word: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: a heading when ``heading`` isn't "", else a result.

    ``status`` is its word, ``status_style`` one of "corrected", "pending", "preliminary", "deleted" and "not-done".
    ``is_long``: the values are words rather than a number. ``span``: over how many of the columns value, unit, flag
    and reference the value may go, since there is nothing for the others.
    """

    heading: str = ""
    name: str = ""
    values: tuple[str, ...] = ()
    is_long: bool = False
    span: int = 1
    unit: str = ""
    range: str = ""
    flag: FlagShown | None = None
    status: str = ""
    status_style: str = ""
    codes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    artefacts: tuple[str, ...] = ()
    facts: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadingShown:
    """A heading between other blocks."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph, or an empty line. ``columns``: it is a table by its spaces, which needs letters of one width."""

    text: str
    columns: bool = False


@dataclass(frozen=True, slots=True)
class TextShown:
    """Paragraphs below each other."""

    kind: ClassVar[str] = "text"
    title: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True, slots=True)
class FieldsShown:
    """Labels with values."""

    kind: ClassVar[str] = "fields"
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class TableShown:
    """A laboratory's table. ``more`` are facts that stand below it. ``coded``: some row has codes, so there is a column
    for them."""

    kind: ClassVar[str] = "table"
    title: str
    facts: tuple[Line, ...]
    incomplete: str
    status: str
    status_style: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    more: tuple[Line, ...]
    coded: bool


@dataclass(frozen=True, slots=True)
class HistoryShown:
    """The same determinations at several moments: ``cells`` has a tuple of texts for each of ``moments``."""

    kind: ClassVar[str] = "history"
    moments: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


@dataclass(frozen=True, slots=True)
class EmbeddedShown:
    """A document inside the message; ``written`` is the field itself where it couldn't be decoded."""

    kind: ClassVar[str] = "embedded"
    name: str
    media_type: str
    size: str
    written: str
    facts: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class UnreadShown:
    """A segment taken apart; ``place`` says where it stood. Labels are positions with the element's name."""

    kind: ClassVar[str] = "unread"
    tag: str
    name: str
    place: str
    elements: tuple[Line, ...]
    written: str


BlockShown = HeadingShown | TextShown | FieldsShown | TableShown | HistoryShown | EmbeddedShown | UnreadShown


@dataclass(frozen=True, slots=True)
class DocumentShown:
    """One message. ``style`` is its kind ("laboratory"), for style sheets. ``rest`` are segments that have no place
    of their own on the page; in a message of unknown type these are among ``blocks``, in their order."""

    style: str
    title: str
    type: str
    dated: str
    test: bool
    status: str
    status_style: str
    part: str
    patient: Person | None
    senders: tuple[Person, ...]
    receivers: tuple[Person, ...]
    others: tuple[Person, ...]
    blocks: tuple[BlockShown, ...]
    rest: tuple[UnreadShown, ...]
    facts: tuple[Line, ...]
    errors: tuple[Remark, ...]
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class ReadingShown:
    """A file with its messages."""

    title: str
    documents: tuple[DocumentShown, ...]
    errors: tuple[Remark, ...]
    remarks: tuple[Remark, ...]
    outside: tuple[TextShown, ...]
    envelope: tuple[UnreadShown, ...]
    facts: tuple[Line, ...]
