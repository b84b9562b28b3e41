"""What a message costs in syncs and statements, counted, since a rate measured in a test run means little."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.lib.bench import Case, count_calls, start_postfix, start_relayd, table, table_of_accepts, time_both
from tests.kit import postfix, preload

pytestmark = pytest.mark.skipif(
    bool(postfix.available() or preload.unavailable()), reason=postfix.available() or preload.unavailable()
)

#: Insertions of message, delivery and journal, the outcome, its journal record, and what the queue looks up meanwhile.
STATEMENTS = 9


@pytest.fixture
def bench_folder() -> Iterator[Path]:
    """One that Postfix's own user may enter, which pytest's aren't."""
    folder = Path(tempfile.mkdtemp(prefix="relayd-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_messages_that_come_together_share_their_syncs(bench_folder: Path) -> None:
    case = Case("20 sessions", 4096, 400, True)
    counts = count_calls(start_relayd, bench_folder / "count", [case])[case.name]
    # Alone a message would cost four: its body and three commits, for acceptance, claim or lease, and outcome.
    assert 0 < counts.syncs < 1
    assert counts.statements < STATEMENTS


def test_the_bench_compares_the_same_work(bench_folder: Path) -> None:
    case = Case("a few", 4096, 200, False, 4)
    results = time_both(bench_folder, [case], 2, (start_postfix, start_relayd))
    assert {len(figures.rate) for figures in results[case.name].values()} == {2}
    assert all(min(figures.rate + figures.cpu + figures.waits) > 0 for figures in results[case.name].values())
    assert table(results).count("\n| a few |") == 1
    assert table_of_accepts(results, {}).count("\n| a few |") == 1
