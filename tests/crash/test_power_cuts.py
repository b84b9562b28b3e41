"""A short form of ``scripts/crash --power-cut``: relayd on what power cuts leave of its disk, and nothing is lost.

And relayd without its syncs, which must be seen to lose mail: a campaign that can't fail proves nothing.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from scripts.lib.crash.campaign import run
from scripts.lib.crash.power import PowerCuts
from scripts.lib.crash.report import Progress, Report
from scripts.lib.crash.sabotage import SYNCS
from tests.kit.preload import unavailable

CUTS = 4

pytestmark = [pytest.mark.behaviour, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]


def test_nothing_is_lost(folder: Path) -> None:
    report = Report(1)
    PowerCuts(folder, report, Random(1), Progress(CUTS, quiet=True)).run(CUTS)
    assert report.fine, list(report.explanation())
    assert report.kills == CUTS
    assert report.acknowledged > 0


@pytest.mark.parametrize("sabotage", SYNCS)
def test_missing_syncs_are_noticed(folder: Path, sabotage: str) -> None:
    report = run(folder, 20, seed=1, sabotage=sabotage, quiet=True)
    assert report.lost
    assert not report.fine
