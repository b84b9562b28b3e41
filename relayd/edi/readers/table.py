"""A laboratory's table while it is being read: results whose remarks are still to come."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from relayd.edi.model import Code, Flag, Heading, Pair, Place, Result, Results, Status

# What systems write when a result is too long for its nine characters: the result then stands in the remarks.
_ARTEFACT = re.compile(
    r"\s*(?:zie\s+(?:onder|opm|tekst|comm|verslag|beneden|toelicht|bijl)\w*\W?|\*+|[-=_]{3,}(?:\s*opm\w*\W?\s*[-=_]{3,})?)\s*",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Row:
    """A result until its remarks are known."""

    name: str
    place: Place
    values: list[str] = field(default_factory=list)
    unit: str = ""
    low: str = ""
    high: str = ""
    range: str = ""
    flag: Flag = Flag.NONE
    flag_text: str = ""
    status: Status = Status.NONE
    codes: list[Code] = field(default_factory=list)
    others: list[Pair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        (self.artefacts if len(line) < 80 and _ARTEFACT.fullmatch(line) else self.notes).append(line)

    def result(self) -> Result:
        values, artefacts = self.values, self.artefacts
        if any(self.notes) and len(values) == 1 and len(values[0]) < 80 and _ARTEFACT.fullmatch(values[0]):
            values, artefacts = [], [values[0], *artefacts]
        return Result(
            self.name,
            tuple(values),
            self.unit,
            self.low,
            self.high,
            self.range,
            self.flag,
            self.flag_text,
            self.status,
            tuple(self.codes),
            tuple(self.notes),
            tuple(artefacts),
            others=tuple(self.others),
            place=self.place,
        )


@dataclass(slots=True)
class Table:
    """The results of one sample, until all are known."""

    place: Place
    sampled: str = ""
    reported: str = ""
    title: str = ""
    specimen: str = ""
    number: str = ""
    complete: bool | None = None
    rows: list[Row | Heading] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: list[Pair] = field(default_factory=list)

    def results(self) -> Results:
        return Results(
            tuple([row.result() if isinstance(row, Row) else row for row in self.rows]),
            self.title,
            self.sampled,
            self.reported,
            self.specimen,
            self.number,
            self.complete,
            notes=tuple(self.notes),
            others=tuple(self.others),
            place=self.place,
        )
