"""The same determinations in several tables of one message, beside each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relayd.edi.model import Result, Results

#: Moments that fit on a page beside each other. The tables themselves have all.
_MOST: Final = 6
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class History:
    """``moments`` with the newest first; each row has a determination's name (with its unit) and, for each moment,
    its results then: () where there was none."""

    moments: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[Result, ...], ...]], ...]


def over_time(tables: Sequence[Results]) -> History | None:
    """The determinations with results of several moments, the newest six; None when there are none.

    Two results are of one determination when they have the same code or, without one, the same name, and the same
    unit: values are never converted.
    """
    if len(tables) < 2:
        return None
    found: dict[tuple[str, ...], dict[str, list[Result]]] = {}
    for table in tables:
        for row in table.rows:
            if isinstance(row, Result) and row.values:
                moment = row.observed or table.sampled or table.reported
                if _DAY.match(moment):
                    found.setdefault(_key(row), {}).setdefault(moment, []).append(row)
    several = {key: moments for key, moments in found.items() if len(moments) > 1}
    if not several:
        return None
    newest = sorted({moment for moments in several.values() for moment in moments}, reverse=True)[:_MOST]
    rows = tuple(
        (_name(moments), tuple(tuple(moments.get(moment, ())) for moment in newest)) for moments in several.values()
    )
    return History(tuple(newest), rows)


def _key(result: Result) -> tuple[str, ...]:
    code = result.codes[0] if result.codes else None
    return (code.system, code.value, result.unit) if code and code.value else ("", result.name, result.unit)


def _name(moments: dict[str, list[Result]]) -> str:
    first = next(iter(moments.values()))[0]
    return f"{first.name} ({first.unit})" if first.unit else first.name
