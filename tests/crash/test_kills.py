"""A short form of ``scripts/crash``: a few kills, and nothing is lost.

And relayd with one promise broken, which must be seen to lose mail: a campaign that can't fail proves nothing.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from scripts.lib.crash.campaign import run
from scripts.lib.crash.kills import KINDS, Kills, deck
from scripts.lib.crash.report import Progress, Report
from scripts.lib.crash.sabotage import PATCHES


@pytest.mark.behaviour
def test_nothing_is_lost(folder: Path) -> None:
    report = Report(1)
    kinds = ["store", "at rows-durable", "worker", "at after-final-dot", "at before-key-destroyed"]
    Kills(folder, report, Random(1), Progress(len(kinds), quiet=True)).run(kinds)
    assert report.fine, list(report.explanation())
    assert report.kills == len(kinds)
    assert report.acknowledged > 0


@pytest.mark.behaviour
@pytest.mark.parametrize("sabotage", PATCHES)
def test_a_broken_promise_is_noticed(folder: Path, sabotage: str) -> None:
    report = run(folder, 20, seed=1, sabotage=sabotage, quiet=True)
    assert report.lost
    assert not report.fine


def test_every_kind_of_death_comes_equally_often() -> None:
    drawn = deck(3 * len(KINDS), Random(1))
    assert {kind: drawn.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 3)
    assert deck(10, Random(1)) == deck(10, Random(1))
