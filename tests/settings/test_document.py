"""docs/configuration.md is what the code says, and config/ is a configuration that loads."""

from __future__ import annotations

from pathlib import Path

from relayd.clock import SystemClock
from relayd.directory.load import build
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.trial import try_out
from relayd.settings.document import TARGET, document
from relayd.settings.load import load

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_current() -> None:
    written = (ROOT / TARGET).read_text()
    assert written == document(), "run: .venv/bin/python -m relayd.settings.document"


def test_every_key_says_what_it_means() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_example_configuration_loads() -> None:
    loaded = load(ROOT / "config")
    assert [step.policy.name for step in build_pipeline(loaded).steps][:1] == ["sender"]
    assert build(loaded).organisations["practice"].proof is not None


async def test_the_example_policies_fail_on_no_sample() -> None:
    loaded = load(ROOT / "config")
    assert await try_out(build_pipeline(loaded), loaded, build(loaded), SystemClock()) == []
