"""The operator's table of laboratory codes: ``code,name,unit,loinc`` per line, NHG's code and LOINC's for one test.

A LOINC code says what is measured and in which kind of quantity. So a line counts only for results in its unit, as
the line writes it; a line without a unit counts for any. Nothing is ever converted: neither numbers nor units.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relayd.errors import ConfigurationError, Problem

_COLUMNS: Final = ["code", "name", "unit", "loinc"]
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
_LONGEST_CODE: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One test. ``code`` is NHG's with its blanks, but none at the end; ``unit`` is as senders write it, or ""."""

    code: str
    name: str
    unit: str
    loinc: str


class Mapping:
    """Rows to be found by either code."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._by_code: dict[str, list[Row]] = {}
        self._by_loinc: dict[str, list[Row]] = {}
        for row in rows:
            self._by_code.setdefault(row.code, []).append(row)
            if row.loinc:
                self._by_loinc.setdefault(row.loinc, []).append(row)

    def by_code(self, code: str) -> list[Row]:
        """Rows of an NHG code; blanks at its end don't count, those inside do."""
        return self._by_code.get(code.rstrip(), [])

    def by_loinc(self, loinc: str) -> list[Row]:
        """Rows of a LOINC code."""
        return self._by_loinc.get(loinc, [])


def read_mapping(path: Path) -> Mapping:
    """The table in a CSV file in UTF-8; ``#`` starts a remark.

    Raises :class:`ConfigurationError` with every mistake and its line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigurationError([Problem(path, None, "", f"can't be read: {said}")]) from None
    rows, problems = parse_mapping(text, path)
    if problems:
        raise ConfigurationError(problems)
    return Mapping(rows)


def parse_mapping(text: str, file: Path | str) -> tuple[list[Row], list[Problem]]:
    """The rows of a table, and its mistakes."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        return [], [Problem(file, reader.line_num, "", f"isn't CSV: {error}")]
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    for number, cells in lines:
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if [cell.strip().lower() for cell in cells] == _COLUMNS:
            continue
        row, mistake = _row(cells)
        if row is not None and (before := seen.setdefault((row.code, row.unit), number)) != number:
            mistake = f"this code and unit stand in line {before} already; keep one of the lines"
        if mistake:
            problems.append(Problem(file, number, "", mistake))
        elif row is not None:
            rows.append(row)
    return rows, problems


def _row(cells: list[str]) -> tuple[Row | None, str]:
    """A row, or what is wrong with it."""
    if len(cells) != len(_COLUMNS):
        return None, f"expected {len(_COLUMNS)} fields, code,name,unit,loinc; found {len(cells)}"
    code, name, unit, loinc = cells[0].rstrip(), *(cell.strip() for cell in cells[1:])
    if not code.strip() or len(code) > _LONGEST_CODE:
        return None, "code must have 1 to 10 characters: the test's code in NHG table 45 with its blanks"
    if loinc and not _is_loinc(loinc):
        return None, f"loinc must be like 2823-3, not {loinc!r}; leave it empty where there is none"
    return Row(code, name, unit, loinc), ""


def _is_loinc(code: str) -> bool:
    """Digits, a hyphen and the check digit that they give (modulus 10, as LOINC's manual has it)."""
    if not _LOINC.fullmatch(code):
        return False
    number, _, check = code.partition("-")
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in number[::-2])
    return (sum(doubled) + sum(map(int, number[-2::-2])) + int(check)) % 10 == 0
