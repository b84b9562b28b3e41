"""The same work through Postfix and relayd in one run, in turns: smtp-source → mail server → smtp-sink.

Both sync what they accept to the same disk, Postfix as Debian ships it, relayd with every policy on and its content
encrypted. Rounds alternate, so that whatever else the machine does hits both. The rate counts messages that the sink
has, from the first connection to the last delivery; the time includes whatever a queue put off.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from tests.kit import postfix
from tests.kit.daemon import RelayProcess
from tests.kit.ports import free_port
from tests.kit.postfix import Postfix
from tests.kit.site import Site
from tests.kit.usage import Peak, cpu_seconds

SOURCE, SINK = "/usr/sbin/smtp-source", "/usr/sbin/smtp-sink"
DOMAIN = "sink.example"
SESSIONS = 20
NOTES = """\
* Delivered per second: median of the rounds, lowest and highest in brackets. CPU: seconds of all processes of the
  server per 1,000 delivered messages. Memory: highest proportional set size (PSS) of all its processes together.
* Postfix: Debian's package with its shipped settings and one relayhost. relayd: all policies on, 2 workers, content
  encrypted at rest, journal written.
* smtp-source and smtp-sink have no TLS. So the source plays a stranger who sends to a domain served here, and the
  sink's entry in the domainbook says `insecure_plaintext: true`. Neither server does TLS in these figures.
"""


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    size: int
    count: int
    reuse: bool


@dataclass
class Figures:
    """One server in one case, round by round."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class Counter:
    """smtp-sink, and how many messages it has taken."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [SINK, "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._changed = threading.Condition()
        self._count = 0
        self._last = 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        with self._changed:
            return self._count

    def wait(self, count: int, quiet: float = 60.0) -> float:
        """When message number ``count`` had come; fails after ``quiet`` seconds without a new one."""
        with self._changed:
            while self._count < count:
                before = self._count
                if not self._changed.wait(quiet) and self._count == before:
                    raise TimeoutError(f"{self._count} of {count} messages arrived, then none for {quiet:g} s")
            return self._last

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._stdout.close()

    def _read(self) -> None:
        while block := os.read(self._stdout.fileno(), 4096):
            found = re.findall(rb"mesg=(\d+)", block)
            if found:
                with self._changed:
                    self._count, self._last = int(found[-1]), time.monotonic()
                    self._changed.notify_all()

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


@dataclass
class Server:
    """One of the two under test."""

    name: str
    port: int
    pid: int
    sink: Counter
    stop: Callable[[], object]


def start_postfix(folder: Path) -> Server:
    sink = Counter()
    server = Postfix(
        "mail.postfix.example",
        relay_to=sink.port,
        parent=folder,
        impatient=False,
        settings={"relay_domains": DOMAIN},
    )
    return Server("Postfix", server.port, server.master_pid, sink, server.stop)


def start_relayd(folder: Path) -> Server:
    sink = Counter()
    site = Site(folder / "relayd")
    site.organisations["organisations"]["noord"]["domains"].append(DOMAIN)
    site.domainbook[DOMAIN] = {
        "organisation": "noord",
        "delivers": "relay",
        "next_hops": [f"127.0.0.1:{sink.port}"],
        "insecure_plaintext": True,
    }
    site.relayd |= {"viewer": {"enabled": False}, "log": "json"}
    relayd = RelayProcess(site)
    relayd.start()
    return Server("relayd", site.relay_port, relayd.child.pid, sink, relayd.stop)


def one_round(server: Server, case: Case, figures: Figures) -> None:
    goal = server.sink.count + case.count
    command = [SOURCE, "-s", str(SESSIONS), "-l", str(case.size), "-m", str(case.count)]
    command += ["-f", "load@stranger.example", "-t", f"someone@{DOMAIN}", "-M", "mail.stranger.example"]
    command += ["-d"] if case.reuse else []
    before = cpu_seconds(server.pid)
    with Peak(server.pid) as peak:
        started = time.monotonic()
        subprocess.run([*command, f"127.0.0.1:{server.port}"], check=True, timeout=600)
        finished = server.sink.wait(goal)
    figures.rate.append(case.count / (finished - started))
    figures.cpu.append((cpu_seconds(server.pid) - before) / case.count * 1000)
    figures.memory.append(peak.value)


def cases(quick: bool) -> list[Case]:
    share = 4 if quick else 1
    return [
        Case("4 KiB, a connection per message", 4096, 2000 // share, False),
        Case("4 KiB, connections reused", 4096, 4000 // share, True),
        Case("100 KiB, connections reused", 102400, 1000 // share, True),
    ]


def table(results: dict[str, dict[str, Figures]]) -> str:
    lines = [
        "| case | Postfix, delivered/s | relayd, delivered/s | ratio "
        "| Postfix CPU s/1,000 | relayd CPU s/1,000 | ratio | Postfix MiB | relayd MiB | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, servers in results.items():
        ours, theirs = servers["relayd"], servers["Postfix"]
        cells = [case, _rate(theirs), _rate(ours), _ratio(ours.rate, theirs.rate)]
        cells += [_median(theirs.cpu), _median(ours.cpu), _ratio(ours.cpu, theirs.cpu)]
        cells += [_mebibytes(theirs), _mebibytes(ours), f"{max(ours.memory) / max(theirs.memory):.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rate(figures: Figures) -> str:
    return f"{statistics.median(figures.rate):.0f} ({min(figures.rate):.0f}–{max(figures.rate):.0f})"


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def _mebibytes(figures: Figures) -> str:
    return f"{max(figures.memory) / 2**20:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages, 3 rounds")
    parser.add_argument("--rounds", type=int, help="rounds per case (default: 5, quick: 3)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk that should be measured")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the table")
    arguments = parser.parse_args()
    if reason := postfix.available():
        print(f"bench: {reason}; there is nothing to compare with", file=sys.stderr)
        return 2
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    folder = Path(tempfile.mkdtemp(prefix="relayd-bench-", dir=arguments.folder))
    folder.chmod(0o755)
    servers: list[Server] = []
    results: dict[str, dict[str, Figures]] = {}
    try:
        servers += [start_postfix(folder), start_relayd(folder)]
        for case in cases(arguments.quick):
            if arguments.only not in case.name:
                continue
            results[case.name] = {server.name: Figures() for server in servers}
            for number in range(rounds):
                # Who goes first changes from round to round.
                for server in servers if number % 2 == 0 else reversed(servers):
                    one_round(server, case, results[case.name][server.name])
                    said = results[case.name][server.name]
                    print(f"{case.name}, {server.name}: {said.rate[-1]:.0f}/s", file=sys.stderr, flush=True)
    finally:
        for server in servers:
            server.stop()
            server.sink.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps({name: {who: asdict(f) for who, f in each.items()} for name, each in results.items()}))
    else:
        print(f"{table(results)}\n\n{NOTES}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
