"""A campaign that can't fail proves nothing: relayd with one promise broken must be seen to lose mail."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib.crash.campaign import run
from scripts.lib.crash.sabotage import PATCHES, SYNCS
from tests.kit.preload import unavailable

needs_a_compiler = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.mark.behaviour
@pytest.mark.parametrize("sabotage", [*PATCHES, *(pytest.param(name, marks=needs_a_compiler) for name in SYNCS)])
def test_it_is_noticed(folder: Path, sabotage: str) -> None:
    report = run(folder, 20, seed=1, sabotage=sabotage, quiet=True)
    assert report.lost
    assert not report.fine
