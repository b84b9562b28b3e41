"""A short form of ``scripts/crash --power-cut``: relayd on what power cuts leave of its disk, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from scripts.lib.crash.power import PowerCuts
from scripts.lib.crash.report import Progress, Report
from tests.kit.preload import unavailable

CUTS = 4


@pytest.mark.behaviour
@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_nothing_is_lost(folder: Path) -> None:
    report = Report(1)
    PowerCuts(folder, report, Random(1), Progress(CUTS, quiet=True)).run(CUTS)
    assert report.fine, list(report.explanation())
    assert report.kills == CUTS
    assert report.acknowledged > 0
