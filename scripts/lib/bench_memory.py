"""How much memory relayd takes: at rest, after mail, and while 20 clients send as much as they may, at once.

Proportional set size (PSS) of all its processes, what they hold in anonymous files (attachments under inspection)
included; all policies on, TLS on both sides.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.lib.bench_stage import WORKERS, Stage, footnote, markdown, scan, senders, small, stage, with_attachment
from tests.kit.site import Site
from tests.kit.usage import Peak, family, memory, memory_of
from tests.kit.wait import wait_for

CLIENTS = 20
#: What the policy message_size lets through: octets of decoded content.
LARGEST = 36_000_000
MESSAGES = 1000
IDLE = 400
#: Seconds after which what was freed has gone back to the system: see relayd/daemon/memory.py.
A_WHILE = 65
GOALS = {"rest": 150, "large": 400}


@dataclass(frozen=True)
class Figure:
    """One row: MiB now or at the highest, and what they should stay under."""

    what: str
    mebibytes: float
    goal: int | None = None

    @property
    def cells(self) -> list[str]:
        return [self.what, f"{self.mebibytes:.0f}", f"under {self.goal}" if self.goal else ""]


def measure(on: Stage) -> list[Figure]:
    pid = on.relayd.child.pid
    wait_for(lambda: len(on.relayd.processes()) == WORKERS + 2, "all processes")
    figures = [Figure(f"at rest, {WORKERS} workers, all processes", _now(pid), GOALS["rest"])]
    roles = {pid: "supervisor", **on.relayd.processes()}
    figures += [Figure(f"– {roles.get(each, 'inspector')}", memory_of(each) / 2**20) for each in family(pid)]
    before = memory(pid)
    with contextlib.ExitStack() as sessions:
        for _ in range(IDLE):
            sessions.enter_context(on.relayd.hospital())
        each = (memory(pid) - before) / IDLE / 2**10
        figures.append(Figure(f"{IDLE} idle sessions over TLS ({each:.0f} KiB for each)", _now(pid)))
    with Peak(pid, every=0.1) as peak, senders(on.relayd, CLIENTS, small(), each=MESSAGES // CLIENTS) as crowd:
        crowd.join()
        on.drained()
    figures += [Figure(f"{MESSAGES} messages of 4 KiB, at the highest", peak.value / 2**20)]
    figures += [Figure("– afterwards", _now(pid))]
    for round_ in ("", ", once more"):
        wire = with_attachment("scan.tif", scan(LARGEST))
        with Peak(pid, every=0.1) as peak, senders(on.relayd, CLIENTS, wire, each=1) as crowd:
            crowd.join()
            on.drained()
        what = f"{CLIENTS} clients send {LARGEST // 10**6} MB at once{round_}, at the highest"
        figures += [Figure(what, peak.value / 2**20, GOALS["large"]), Figure("– afterwards", _now(pid))]
    time.sleep(A_WHILE)
    return [*figures, Figure("– a minute later", _now(pid))]


def many(site: Site) -> None:
    """Let so many come from one address."""
    site.relayd["limits"] = {"connections_per_peer": 2 * IDLE}


def _now(pid: int) -> float:
    return memory(pid) / 2**20


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where mail is kept meanwhile")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(words)
    with stage(arguments.folder, many) as on:
        figures = measure(on)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        print(markdown(["MiB (PSS)", "measured", "goal"], [figure.cells for figure in figures]))
        print(f"\n{footnote('scripts/bench memory')}")
    missed = [figure.what for figure in figures if figure.goal and figure.mebibytes >= figure.goal]
    for what in missed:
        print(f"bench: missed its goal: {what}", file=sys.stderr)
    return 1 if missed else 0
