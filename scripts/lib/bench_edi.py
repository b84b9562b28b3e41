"""EDI: how long reading, HTML and PDF take, beside the libraries that can read the same files.

Reading is compared twice: "tokens" takes a message apart into all its fields, as the libraries do; "relayd" goes on to
what they mean. PDFs are made by the process that makes them in production, while 50 mails a second pass through a
relayd with all of production on; the relay's own times are from the same run with and without them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
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
from relayd.rendering.renderer import ProcessRenderer
from scripts.lib.bench_stage import Stage, footnote, markdown, share, stage
from scripts.lib.bench_viewer import RATE, traffic

SAMPLES = Path("tests/edi/samples")
PEERS = ("pydifact", "hl7", "hl7apy")
OURS = ("relayd, tokens", "relayd")
#: Times as fast as the fastest peer, and milliseconds for the HTML of an ordinary message.
GOAL, HTML_GOAL = 5.0, 1.0
#: Octets of a message that is no ordinary one any more; a file of several messages is none either.
ORDINARY = 8_000
#: A PDF every so many seconds; its goal in seconds, and by how much the relay's p99 may rise.
EVERY, PDF_GOAL, RISE = 1.0, 0.2, 1.2
#: Turns without and with PDFs, and seconds of each.
TURNS, SPAN = 20, 4.0

Times = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Line:
    """One file: seconds by library, how many times as fast as the fastest peer relayd takes it apart (tokens) and
    understands it (whole), and seconds of its HTML."""

    file: str
    octets: int
    messages: int
    seconds: dict[str, float | None]
    tokens: float | None
    whole: float | None
    html: float


def parse_all(files: Sequence[Path], budget: float) -> Times:
    """One round: every library in a process of its own, one after the other."""
    found: Times = {}
    for library in (*PEERS, *OURS):
        python = [".venv/bin/python"] if library in OURS else ["scripts/aside", "edi-peers"]
        command = [*python, "scripts/lib/edi_parse.py", library, str(budget), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."})
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
    data = file.read_bytes()
    tokens, whole = (_ratio(rounds, ours, name) for ours in OURS)
    messages = len(read(data).documents)
    return Line(file.name, len(data), messages, seconds, tokens, whole, html_seconds(data))


def _ratio(rounds: list[Times], ours: str, name: str) -> float | None:
    """The fastest peer's time in each round by ours in the same; the median."""
    ratios = [
        min(peers) / mine
        for times in rounds
        if (peers := [value for peer in PEERS if (value := times[peer][name]) is not None])
        and (mine := times[ours][name])
    ]
    return statistics.median(ratios) if ratios else None


def _values(rounds: list[Times], library: str, name: str) -> list[float]:
    return [value for times in rounds if (value := times[library][name]) is not None]


@dataclass(frozen=True)
class Beside:
    """Seconds of PDFs beside relay traffic: their median and p95, and the median of each file; and the relay's p99
    without and with them."""

    count: int
    median: float
    p95: float
    files: dict[str, float]
    quiet_p99: float
    busy_p99: float

    @property
    def rise(self) -> float:
        return self.busy_p99 / self.quiet_p99


def beside(parent: Path, files: Sequence[Path]) -> Beside:
    """Without and with, in short turns, so that a slow moment of the machine falls on both; each side's mails are
    taken together, since the slowest hundredth of one turn is two or three mails."""
    with stage(parent) as on:
        return asyncio.run(_in_turns(on, {file.name: file.read_bytes() for file in files}))


async def _in_turns(on: Stage, messages: dict[str, bytes]) -> Beside:
    """The rendering process is warm, as it is in production after its first."""
    renderer, quiet, busy = ProcessRenderer(), list[float](), list[float]()
    took: dict[str, list[float]] = {name: [] for name in messages}
    names = itertools.cycle(messages)
    try:
        await _pdf(renderer, messages[next(names)])
        with traffic(on):
            await asyncio.sleep(SPAN)
        for _ in range(TURNS):
            with traffic(on) as crowd:
                await asyncio.sleep(SPAN)
            quiet += crowd.took
            with traffic(on) as crowd:
                end = time.perf_counter() + SPAN
                while (started := time.perf_counter()) < end:
                    name = next(names)
                    took[name].append(await _pdf(renderer, messages[name]))
                    await asyncio.sleep(max(0.0, started + EVERY - time.perf_counter()))
            busy += crowd.took
    finally:
        await renderer.close()
    every = [one for some in took.values() for one in some]
    return Beside(
        len(every),
        statistics.median(every),
        share(every, 0.95) or 0.0,
        {name: statistics.median(some) for name, some in took.items() if some},
        share(quiet, 0.99) or 0.0,
        share(busy, 0.99) or 0.0,
    )


async def _pdf(renderer: ProcessRenderer, data: bytes) -> float:
    """How long one takes, page and PDF together."""
    started = time.perf_counter()
    page = rendering.html(read(data), "nl").html
    await renderer.make_pdf(page, data, "message.edi")
    return time.perf_counter() - started


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench edi", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=0.1, help="seconds for one file and library in a round")
    parser.add_argument("--samples", type=Path, default=SAMPLES, help="a folder with messages")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where mail is kept meanwhile")
    parser.add_argument("--no-relay", action="store_true", help="leave out the PDFs beside relay traffic")
    arguments = parser.parse_args(words)
    found = [file for file in sorted(arguments.samples.rglob("*")) if file.suffix in (".edi", ".hl7")]
    files = [file for file in found if sniff(file.read_bytes())]
    rounds = [parse_all(files, arguments.budget) for _ in range(arguments.rounds)]
    lines = [line(file, rounds) for file in files]
    ordinary = [one.file for one in lines if one.messages == 1 and one.octets < ORDINARY]
    letters = [file for file in files if file.name in ordinary]
    pdf = None if arguments.no_relay else beside(arguments.folder, letters)
    if arguments.json:
        print(json.dumps({"files": [asdict(one) for one in lines], "pdf": asdict(pdf) if pdf else None}))
    else:
        head = [
            "file",
            "octets",
            *(f"{library} ms" for library in (*PEERS, *OURS)),
            "tokens: times as fast",
            "whole: times as fast",
            "HTML ms",
        ]
        print(markdown(head, [_cells(one) for one in lines]))
        if pdf is not None:
            print(
                f"\n- {pdf.count} PDFs of {len(pdf.files)} ordinary messages beside {RATE} mails a second: median "
                f"{_ms(pdf.median)} ms, p95 {_ms(pdf.p95)} ms\n- those that take {_ms(PDF_GOAL)} ms or longer: "
                f"{', '.join(f'{name} {_ms(took)}' for name, took in pdf.files.items() if took >= PDF_GOAL) or 'none'}"
                f"\n- the relay's p99 meanwhile: {_ms(pdf.busy_p99)} ms, without them "
                f"{_ms(pdf.quiet_p99)} ms: {pdf.rise:.2f} times as long"
            )
        print(f"\n{footnote('scripts/bench edi')}")
    missed = [one.file for one in lines if one.tokens is not None and one.tokens < GOAL]
    missed += [one.file for one in lines if one.file in ordinary and 1000 * one.html >= HTML_GOAL]
    if pdf is not None and (pdf.median >= PDF_GOAL or pdf.rise > RISE):
        missed.append("PDF beside relay traffic")
    for name in missed:
        print(f"bench: missed its goal: {name}", file=sys.stderr)
    return 1 if missed else 0


def _cells(one: Line) -> list[str]:
    ratios = ["–" if ratio is None else f"{ratio:.1f}" for ratio in (one.tokens, one.whole)]
    return [one.file, str(one.octets), *(_ms(one.seconds[each]) for each in (*PEERS, *OURS)), *ratios, _ms(one.html)]


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.2f}"
