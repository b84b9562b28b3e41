"""A view as plain text: for a terminal, and for the text part of a mail. Lines are wrapped at 78 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from relayd.edi.view import (
    BlockShown,
    DocumentShown,
    EmbeddedShown,
    FieldsShown,
    HeadingShown,
    HistoryShown,
    Line,
    Person,
    ReadingShown,
    Remark,
    Row,
    TableShown,
    TextShown,
    UnreadShown,
)
from relayd.edi.words import Words

_WIDTH: Final = 78
#: A cell that is longer makes its column no wider.
_MOST_CELL: Final = 28


def write(reading: ReadingShown, words: Words) -> str:
    """``reading`` from top to bottom."""
    lines: list[str] = list(_remarks(reading.errors))
    for document in reading.documents:
        if lines:
            lines.append("")
        lines += _document(document, words)
    if reading.outside or reading.envelope:
        lines += ["", words("Around the message")]
    for block in reading.outside:
        lines += ["", *_block(block, words), ""]
    lines += _facts(reading.facts)
    for unread in reading.envelope:
        lines += _unread(unread)
    lines += _remarks(reading.remarks)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _document(document: DocumentShown, words: Words) -> Iterator[str]:
    title = " ".join(part for part in (document.title.upper(), document.part) if part)
    yield "  ".join(part for part in (title, document.dated, document.status) if part)
    yield "=" * _WIDTH
    if document.test:
        yield f"*** {words('This is a test message: not for care')} ***"
    yield from _remarks(document.errors)
    for person in (document.patient, *document.senders, *document.receivers):
        if person:
            yield from _person(person)
    for block in document.blocks:
        yield ""
        yield from _block(block, words)
    if document.others:
        yield from ("", words("Also concerned"))
        for person in document.others:
            yield from _person(person)
    if document.rest:
        yield from ("", words("Other data in the message"))
        for unread in document.rest:
            yield from _unread(unread)
    yield from ("", "-" * _WIDTH)
    yield from _facts(document.facts)
    yield from _remarks(document.remarks)


def _person(person: Person) -> Iterator[str]:
    yield from _wrapped(f"{person.role}: {person.name}", "", "  ")
    for line in person.lines:
        yield from _wrapped(line, "  ")
    yield from _facts(person.facts, "  ")


def _facts(facts: Sequence[Line], indent: str = "") -> Iterator[str]:
    for one in facts:
        remark = f" ({one.remark})" if one.remark else ""
        yield from _wrapped(f"{one.label}: {one.value}{remark}", indent, indent + "  ")


def _remarks(remarks: Sequence[Remark]) -> Iterator[str]:
    for one in remarks:
        place = f" ({one.place})" if one.place else ""
        yield from _wrapped(f"{one.label}: {one.text}{place}", "! " if one.severity == "error" else "", "  ")


def _block(block: BlockShown, words: Words) -> Iterator[str]:
    match block:
        case TableShown():
            yield from _table(block, words)
        case TextShown():
            if block.title:
                yield block.title
            for paragraph in block.paragraphs:
                unwrapped = paragraph.columns or not paragraph.text
                yield from paragraph.text.split("\n") if unwrapped else _wrapped(paragraph.text)
        case HeadingShown():
            yield from _wrapped(block.text)
        case FieldsShown():
            if block.title:
                yield block.title
            yield from _facts(block.lines, "  " if block.title else "")
        case HistoryShown():
            yield words("Course over time")
            rows = [(name, *(" / ".join(cell) for cell in cells)) for name, cells in block.rows]
            yield from _columns(((words("Determination"), *block.moments), *rows), 1 + len(block.moments))
        case EmbeddedShown():
            about = ", ".join(part for part in (block.media_type, block.size) if part)
            yield from _wrapped(f"[{block.name}] {about}")
            yield from _facts(block.facts, "  ")
            yield from _wrapped(block.written, "  ")
        case UnreadShown():
            yield from _unread(block)


def _table(block: TableShown, words: Words) -> Iterator[str]:
    if block.title:
        yield block.title
    yield from _facts(block.facts)
    for said in (block.status, block.incomplete, *block.notes):
        yield from _wrapped(said)
    if block.rows:
        yield ""
        yield from _rows(block, words)
    yield from _facts(block.more)


def _rows(block: TableShown, words: Words) -> Iterator[str]:
    head = (words("Determination"), words("Result"), words("Flag"), words("Reference values"), words("Code"))
    cells = [_cells(row) for row in block.rows]
    drawn = iter(_columns((head, *(one for one in cells if one)), 5 if block.coded else 4))
    yield next(drawn)
    yield next(drawn)
    for row, cell in zip(block.rows, cells, strict=True):
        if not cell:
            yield from _wrapped(row.heading)
            continue
        yield next(drawn)
        yield from _below(row)


def _cells(row: Row) -> tuple[str, ...]:
    """A result's cells; a long or multiple value stands below its line. A heading has none."""
    if row.heading:
        return ()
    value = f"{row.values[0]} {row.unit}".strip() if row.values and _fits(row) else row.unit
    flag = [f"{row.flag.symbol} {row.flag.word}".strip()] if row.flag else []
    status = [f"[{row.status}]"] if row.status else []
    return row.name, value, " ".join((*flag, *status)), row.range, ", ".join(row.codes)


def _fits(row: Row) -> bool:
    return len(row.values) < 2 and all(len(f"{one} {row.unit}") <= _MOST_CELL and "\n" not in one for one in row.values)


def _below(row: Row) -> Iterator[str]:
    if not _fits(row):
        for value in row.values:
            yield from _wrapped(value, "    ")
    for note in row.notes:
        yield from _wrapped(note, "    ")
    yield from _facts(row.facts, "    ")
    if row.artefacts:
        yield from _wrapped(f"({' · '.join(row.artefacts)})", "    ")


def _columns(rows: Sequence[Sequence[str]], count: int) -> Iterator[str]:
    """The first ``count`` columns: the head, a rule, and a line for each row. Long cells push others to the right."""
    widths = [
        max((len(row[column]) for row in rows if len(row[column]) <= _MOST_CELL), default=0) for column in range(count)
    ]
    for index, row in enumerate(rows):
        yield "  ".join(cell.replace("\n", " ").ljust(width) for cell, width in zip(row, widths, strict=False))
        if not index:
            yield "  ".join("-" * width for width in widths)


def _unread(block: UnreadShown) -> Iterator[str]:
    head = " ".join(part for part in (block.tag, block.name, f"({block.place})" if block.place else "") if part)
    yield from _wrapped(head)
    yield from _facts(block.elements, "  ")
    yield from _wrapped(block.written, "  ")


def _wrapped(text: str, first: str = "", more: str | None = None) -> Iterator[str]:
    """``text`` in lines, its own line ends kept. A line's words are never cut."""
    more = first if more is None else more
    for line in text.split("\n") if text else ():
        if len(first) + len(line) <= _WIDTH:
            yield first + line
        else:
            yield from textwrap.wrap(
                line,
                _WIDTH,
                initial_indent=first,
                subsequent_indent=more,
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
                drop_whitespace=True,
            )
        first = more
