"""What a campaign came to, and how it is told."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from scripts.lib.crash.oracle import Judgement, explained

#: How long after a kill the partner may still read, and take, what had been sent before it, in seconds.
STILL_ARRIVING = 5.0
#: Losses and faults that are told to a person; --json has all.
_TOLD = 20


@dataclass(frozen=True)
class Death:
    """One kill, or several at once, with the moments between which it happened (``time.monotonic``)."""

    kind: str
    began: float
    ended: float


@dataclass
class Report:
    """``lost`` names messages of which a recipient got neither the mail nor a report, with the reason.

    ``faults`` are all other broken promises: relayd's word against the logs, duplicates without a cause, what verify
    found, old mail that wasn't forgotten. ``never_reached`` counts rounds whose kill didn't come about.
    """

    seed: int
    kills: int = 0
    acknowledged: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    duplicated: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    duplicated_by: Counter[str] = field(default_factory=Counter)
    never_reached: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def line(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged} acknowledged, {len(self.lost)} lost, {self.duplicated} duplicated"
        )

    @property
    def fine(self) -> bool:
        return not (self.lost or self.faults or self.never_reached)

    def died(self, kind: str) -> None:
        self.kills += 1
        self.by_kind[kind] += 1

    def judged(self, judgement: Judgement, deaths: list[Death], *, acknowledged: int) -> None:
        """Take in what one installation came to. ``acknowledged``: how many of its messages weren't counted before."""
        self.acknowledged += acknowledged
        self.lost |= judgement.lost
        self.faults += judgement.contradictions
        self.duplicated += len(judgement.again)
        spans = [(death.kind, death.began, death.ended) for death in deaths]
        for again in judgement.again:
            if kind := explained(again, spans, STILL_ARRIVING):
                self.duplicated_by[kind] += 1
            else:
                self.faults.append(f"a copy arrived at {again[0]:.2f} and {again[1]:.2f} without a death in between")

    def explanation(self) -> Iterable[str]:
        """What a person wants to know beyond the one line."""
        if self.duplicated:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.duplicated_by.most_common())
            yield f"duplicates by what died between the partner's taking a copy and our knowing of it: {kinds}"
        for kind, count in self.never_reached.items():
            yield f"never reached: {kind}, {count} times"
        yield from _first([f"lost: {message_id} {why}" for message_id, why in self.lost.items()])
        yield from _first([f"wrong: {fault}" for fault in self.faults])


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _TOLD
    return [*lines[:_TOLD], f"and {more} more of these"] if more > 0 else lines


class Progress:
    """A line per round on stderr, with how long it will take still."""

    def __init__(self, rounds: int, *, quiet: bool) -> None:
        self.rounds = rounds
        self.done = 0
        self._quiet = quiet
        self._started = time.monotonic()

    def tell(self, what: str) -> None:
        """One round more is done."""
        self.done += 1
        if self._quiet:
            return
        left = (time.monotonic() - self._started) / self.done * max(0, self.rounds - self.done)
        print(f"{self.done}/{self.rounds} {what}; {left / 60:.1f} min left", file=sys.stderr, flush=True)
