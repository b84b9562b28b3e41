"""EDI: how long reading, HTML and PDF take, beside the libraries that can read the same files."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from relayd.edi import rendering
from relayd.edi.detect import sniff
from relayd.edi.reading import read
from scripts.lib.bench_stage import footnote, markdown

SAMPLES = Path("tests/edi/samples")
PEERS = ("pydifact", "hl7", "hl7apy")
OURS = ("relayd, tokens", "relayd")
#: Times as fast as the fastest peer, and milliseconds for the HTML of an ordinary message.
GOAL, HTML_GOAL = 5.0, 1.0
#: Octets of a message that is no ordinary one any more.
ORDINARY = 8_000

Times = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Line:
    """One file: seconds by library, how many times as fast as the fastest peer relayd is, and seconds of its HTML."""

    file: str
    octets: int
    seconds: dict[str, float | None]
    ratio: float | None
    html: float


def parse_all(files: Sequence[Path], budget: float) -> Times:
    """One round: every library in a process of its own, one after the other."""
    found: Times = {}
    for library in (*PEERS, *OURS):
        python = [".venv/bin/python"] if library in OURS else ["scripts/aside", "edi-peers"]
        command = [*python, "scripts/lib/edi_parse.py", library, str(budget), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ".", "PATH": ""})
        found[library] = json.loads(done.stdout)
    return found


def html_seconds(data: bytes) -> float:
    """The median of fifty."""
    reading = read(data)
    rendering.html(reading, "nl")
    took = []
    for _ in range(50):
        started = time.perf_counter()
        rendering.html(reading, "nl")
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def line(file: Path, rounds: list[Times]) -> Line:
    name = str(file)
    seconds = {
        library: statistics.median(values) if (values := _values(rounds, library, name)) else None
        for library in (*PEERS, *OURS)
    }
    ratios = [
        min(peers) / ours
        for times in rounds
        if (peers := [value for peer in PEERS if (value := times[peer][name]) is not None])
        and (ours := times["relayd"][name])
    ]
    data = file.read_bytes()
    return Line(file.name, len(data), seconds, statistics.median(ratios) if ratios else None, html_seconds(data))


def _values(rounds: list[Times], library: str, name: str) -> list[float]:
    return [value for times in rounds if (value := times[library][name]) is not None]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench edi", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=0.1, help="seconds for one file and library in a round")
    parser.add_argument("--samples", type=Path, default=SAMPLES, help="a folder with messages")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(words)
    files = [file for file in sorted(arguments.samples.rglob("*")) if file.is_file() and sniff(file.read_bytes())]
    rounds = [parse_all(files, arguments.budget) for _ in range(arguments.rounds)]
    lines = [line(file, rounds) for file in files]
    if arguments.json:
        print(json.dumps([asdict(one) for one in lines]))
    else:
        head = ["file", "octets", *(f"{library} ms" for library in (*PEERS, *OURS)), "times as fast", "HTML ms"]
        print(markdown(head, [_cells(one) for one in lines]))
        print(f"\n{footnote('scripts/bench edi')}")
    missed = [one.file for one in lines if one.ratio is not None and one.ratio < GOAL]
    missed += [one.file for one in lines if one.octets < ORDINARY and 1000 * one.html >= HTML_GOAL]
    for name in missed:
        print(f"bench: missed its goal: {name}", file=sys.stderr)
    return 1 if missed else 0


def _cells(one: Line) -> list[str]:
    ratio = "–" if one.ratio is None else f"{one.ratio:.1f}"
    return [one.file, str(one.octets), *(_ms(one.seconds[each]) for each in (*PEERS, *OURS)), ratio, _ms(one.html)]


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.2f}"
