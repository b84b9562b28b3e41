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
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from tests.kit import postfix, preload
from tests.kit.ca import Certificate
from tests.kit.daemon import RelayProcess
from tests.kit.ports import free_port
from tests.kit.postfix import Postfix
from tests.kit.process import python
from tests.kit.site import Site
from tests.kit.usage import Peak, cpu_seconds

SOURCE, SINK = "/usr/sbin/smtp-source", "/usr/sbin/smtp-sink"
DOMAIN = "sink.example"
SENDER, RECIPIENT = "load@stranger.example", f"someone@{DOMAIN}"
#: What Postfix passes on to its programs as shipped (postconf -d import_environment).
_POSTFIX_ENVIRONMENT = (
    "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME"
)
NOTES = """\
* Delivered per second: median of the rounds, lowest and highest in brackets, from the first connection to the last
  delivery. CPU: seconds of all processes of the server per 1,000 delivered messages. Memory: highest proportional set
  size (PSS) of all its processes together.
* Accept: how long another client's 4 KiB messages, some dozens a second through the load, wait from their end of data
  to the 250; all rounds together. They count in all the other figures.
* Per message: fsync and fdatasync calls of all processes, and SQL statements, counted in a further run of each case
  that isn't timed.
* Postfix: Debian's package with its shipped settings and one relayhost. relayd: all policies on, 2 workers, content
  encrypted at rest, journal written, retention on.
* smtp-source and smtp-sink have no TLS. So the source plays a stranger who sends to a domain served here, and the
  sink's entry in the domainbook says `insecure_plaintext: true`. Neither server does TLS in these figures.
"""


@dataclass(frozen=True)
class Case:
    """One kind of load: ``count`` messages of ``size`` octets over ``sessions`` sessions at once."""

    name: str
    size: int
    count: int
    reuse: bool
    sessions: int = 20


@dataclass
class Figures:
    """One server in one case, round by round. ``waits`` are the probe's, of all rounds."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Counts:
    """Calls per delivered message."""

    syncs: float
    statements: float


class Counter:
    """A sink, smtp-sink unless ``command`` makes another for its port, and how many messages it has taken."""

    def __init__(self, command: Callable[[int], list[str]] | None = None) -> None:
        self.port = free_port()
        words = command(self.port) if command else [SINK, "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
    """One of the two under test. ``beside`` are processes that do a part of its work without being its children.
    With ``shows`` what comes in says STARTTLS and shows that certificate."""

    name: str
    port: int
    pid: int
    sink: Counter
    stop: Callable[[], object]
    sender: str = SENDER
    shows: Certificate | None = None
    beside: tuple[int, ...] = ()

    def cpu(self) -> float:
        """Seconds until now."""
        return sum(map(cpu_seconds, (self.pid, *self.beside)))


def start_postfix(folder: Path, counting: Counting | None = None) -> Server:
    sink = Counter()
    server = Postfix(
        "mail.postfix.example",
        relay_to=sink.port,
        parent=folder,
        impatient=False,
        settings={"relay_domains": DOMAIN}
        | ({"import_environment": " ".join((_POSTFIX_ENVIRONMENT, *counting.settings()))} if counting else {}),
    )
    return Server("Postfix", server.port, server.master_pid, sink, server.stop)


def start_relayd(folder: Path, counting: Counting | None = None) -> Server:
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
    relayd = RelayProcess(site, environment=counting.environment if counting else None)
    relayd.start()
    return Server("relayd", site.relay_port, relayd.child.pid, sink, relayd.stop)


def load(server: Server, case: Case, count: int) -> None:
    """Send ``count`` messages; returns when the source is done."""
    if server.shows is not None:
        words = [*python("scripts.lib.tls_source"), "--port", str(server.port), *_shown(server.shows)]
        words += ["--sender", server.sender, "--recipient", RECIPIENT, "--size", str(case.size), "--count", str(count)]
        words += ["--sessions", str(case.sessions), *(["--reuse"] if case.reuse else [])]
        subprocess.run(words, check=True, timeout=600)
        return
    command = [SOURCE, "-s", str(case.sessions), "-l", str(case.size), "-m", str(count)]
    command += ["-f", server.sender, "-t", RECIPIENT, "-M", "mail.stranger.example"]
    command += ["-d"] if case.reuse else []
    subprocess.run([*command, f"127.0.0.1:{server.port}"], check=True, timeout=600)


def _shown(certificate: Certificate | None) -> list[str]:
    return ["--certificate", str(certificate.certificate), "--key", str(certificate.key)] if certificate else []


def one_round(server: Server, case: Case, figures: Figures) -> None:
    goal = server.sink.count + case.count
    before = server.cpu()
    with Peak(server.pid) as peak:
        words = [*python("scripts.lib.probe"), "--port", str(server.port), *_shown(server.shows)]
        words += ["--sender", server.sender, "--recipient", RECIPIENT]
        probe = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started = time.monotonic()
        load(server, case, case.count)
        waits = json.loads(probe.communicate()[0])
        finished = server.sink.wait(goal + len(waits))
    delivered = case.count + len(waits)
    figures.rate.append(delivered / (finished - started))
    figures.cpu.append((server.cpu() - before) / delivered * 1000)
    figures.memory.append(peak.value)
    figures.waits += waits


class Counting:
    """Counters that the processes of a server share; see tests/kit/preload/count.c."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "counters"
        self._path.write_bytes(bytes(24))
        self._path.chmod(0o666)
        library = shutil.copy(preload.build("count"), folder)
        self.environment = {"LD_PRELOAD": str(library), "COUNT_FILE": str(self._path)}

    def settings(self) -> list[str]:
        """As Postfix's import_environment wants it."""
        return [f"{name}={value}" for name, value in self.environment.items()]

    def read(self) -> tuple[int, int]:
        """Syncs and statements until now."""
        syncs, data_syncs, statements = struct.unpack("=3Q", self._path.read_bytes())
        return syncs + data_syncs, statements


def count_calls(start: Callable[[Path, Counting], Server], folder: Path, cases: list[Case]) -> dict[str, Counts]:
    """One run of each case on a server whose calls are counted."""
    folder.mkdir()
    folder.chmod(0o755)
    counting = Counting(folder)
    server = start(folder, counting)
    found = {}
    try:
        for case in cases:
            count = min(case.count, 1000)
            before = counting.read()
            goal = server.sink.count + count
            load(server, case, count)
            server.sink.wait(goal)
            syncs, statements = (now - then for now, then in zip(counting.read(), before, strict=True))
            found[case.name] = Counts(syncs / count, statements / count)
    finally:
        server.stop()
        server.sink.stop()
    return found


def all_cases(quick: bool) -> list[Case]:
    share = 4 if quick else 1
    return [
        Case("4 KiB, a connection per message", 4096, 2000 // share, False),
        Case("4 KiB, connections reused", 4096, 4000 // share, True),
        Case("burst of 10,000, 4 KiB, 40 sessions", 4096, 10_000 // share, True, 40),
        Case("100 KiB, connections reused", 102400, 1000 // share, True),
        Case("5 MiB, connections reused", 5 * 2**20, 60 // share, True),
    ]


def table(results: dict[str, dict[str, Figures]]) -> str:
    """Rates, CPU and memory."""
    lines = [
        "| case | Postfix, delivered/s | relayd, delivered/s | ratio "
        "| Postfix CPU s/1,000 | relayd CPU s/1,000 | ratio | Postfix MiB | relayd MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, servers in results.items():
        ours, theirs = servers["relayd"], servers["Postfix"]
        cells = [case, _rate(theirs), _rate(ours), _ratio(ours.rate, theirs.rate)]
        cells += [_median(theirs.cpu), _median(ours.cpu), _ratio(ours.cpu, theirs.cpu)]
        cells += [_mebibytes(theirs), _mebibytes(ours)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_accepts(results: dict[str, dict[str, Figures]], counts: dict[str, dict[str, Counts]]) -> str:
    """Waits for the 250, and calls per message."""
    lines = [
        "| case | Postfix accept p50, p99 ms | relayd accept p50, p99 ms | p99 ratio "
        "| Postfix syncs | relayd syncs | relayd statements |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, servers in results.items():
        ours, theirs = servers["relayd"], servers["Postfix"]
        cells = [case, _waits(theirs), _waits(ours), f"{_percentile(ours, 99) / _percentile(theirs, 99):.2f}"]
        if case in counts:
            ours_counted = counts[case]["relayd"]
            cells += [f"{counts[case]['Postfix'].syncs:.2f}", f"{ours_counted.syncs:.2f}"]
            cells += [f"{ours_counted.statements:.1f}"]
        else:
            cells += ["", "", ""]
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


def _percentile(figures: Figures, percent: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(figures.waits, n=100)[percent - 1] * 1000


def _waits(figures: Figures) -> str:
    return f"{_percentile(figures, 50):.1f}, {_percentile(figures, 99):.1f}"


def main() -> int:
    # Imported only here: what they share with this module is above.
    from scripts.lib import bench_edi, bench_lag, bench_memory, bench_tls, bench_viewer

    other = {
        "memory": bench_memory.main,
        "lag": bench_lag.main,
        "tls": bench_tls.main,
        "viewer": bench_viewer.main,
        "edi": bench_edi.main,
    }.get("".join(sys.argv[1:2]))
    if other is not None:
        return other(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages, 3 rounds")
    parser.add_argument("--rounds", type=int, help="rounds per case (default: 5, quick: 3)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--no-counts", action="store_true", help="leave out the run that counts syncs and statements")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk that should be measured")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the table")
    arguments = parser.parse_args()
    if reason := postfix.available():
        print(f"bench: {reason}; there is nothing to compare with", file=sys.stderr)
        return 2
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    cases = [case for case in all_cases(arguments.quick) if arguments.only in case.name]
    folder = Path(tempfile.mkdtemp(prefix="relayd-bench-", dir=arguments.folder))
    folder.chmod(0o755)
    try:
        counts = {} if arguments.no_counts else _count_both(folder, cases)
        results = time_both(folder, cases, rounds, (start_postfix, start_relayd))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps({name: {who: asdict(f) for who, f in each.items()} for name, each in results.items()}))
    else:
        print(f"{table(results)}\n\n{table_of_accepts(results, counts)}\n\n{NOTES}", end="")
    return 0


def _count_both(folder: Path, cases: list[Case]) -> dict[str, dict[str, Counts]]:
    if reason := preload.unavailable():
        print(f"bench: {reason}; calls aren't counted", file=sys.stderr)
        return {}
    postfix_counts = count_calls(start_postfix, folder / "count-postfix", cases)
    relayd_counts = count_calls(start_relayd, folder / "count-relayd", cases)
    return {case.name: {"Postfix": postfix_counts[case.name], "relayd": relayd_counts[case.name]} for case in cases}


def time_both(
    folder: Path, cases: list[Case], rounds: int, starts: Sequence[Callable[[Path], Server]]
) -> dict[str, dict[str, Figures]]:
    """Figures by case and server: each case's rounds in turns, on servers that stay up for all of them."""
    servers: list[Server] = []
    results: dict[str, dict[str, Figures]] = {}
    try:
        servers += [start(folder) for start in starts]
        for case in cases:
            figures = results[case.name] = {server.name: Figures() for server in servers}
            for number in range(rounds):
                # Who goes first changes from round to round.
                for server in servers if number % 2 == 0 else reversed(servers):
                    one_round(server, case, figures[server.name])
                    rate = figures[server.name].rate[-1]
                    print(f"{case.name}, {server.name}: {rate:.0f}/s", file=sys.stderr, flush=True)
    finally:
        for server in servers:
            server.stop()
            server.sink.stop()
    return results


if __name__ == "__main__":
    sys.exit(main())
