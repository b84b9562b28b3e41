"""The fault matrix: each test of a fault says what it saw, and docs/faults.md is made of that.

Rows come from several test processes; each keeps its own file until the run ends. The page is written when every test
under ``tests/faults`` ran and passed, so it never tells of what wasn't seen. It holds nothing that changes from run to
run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

#: The environment variable that names the folder of rows, for all processes of one run.
FOLDER = "RELAYD_TEST_MATRIX"
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
_HEAD = """\
# What happens when something breaks

Made by the tests under `tests/faults`: each row was seen in the last run. "Recovered" says what it took until mail was
accepted and delivered again.

"""


@dataclass(frozen=True, order=True)
class Row:
    """One fault at one operation. All plain text for the page, without ids, ports or times.

    ``group`` is the heading it stands under.
    """

    group: str
    operation: str
    fault: str
    client_saw: str
    journal_says: str
    recovered: str


class Matrix:
    """Collects the rows of one test process in ``folder``."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._path = folder / f"{worker}.jsonl"

    def row(
        self, group: str, operation: str, fault: str, *, client_saw: str, journal_says: str, recovered: str
    ) -> None:
        """Call it last in a test, after the assertions that make it true."""
        row = Row(group, operation, fault, client_saw, journal_says, recovered)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def collected(folder: Path) -> list[Row]:
    """All rows that any process left, each once, in the page's order."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    return sorted({Row(**json.loads(line)) for line in lines})


def page(rows: list[Row]) -> str:
    """docs/faults.md."""
    titles = [field.name.replace("_", " ") for field in fields(Row)][1:]
    parts = [_HEAD]
    for group in sorted({row.group for row in rows}):
        parts.append(f"## {group}\n\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
        parts += [f"| {' | '.join(astuple(row)[1:])} |\n" for row in rows if row.group == group]
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"
