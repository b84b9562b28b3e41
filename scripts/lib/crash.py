"""A campaign of kill -9: what was acknowledged, against what arrived; both counted outside relayd.

Three programs of their own take part: a client that logs every 250 (scripts/lib/load.py), a partner's server that
writes a receipt before its own 250 (tests/kit/sink.py), and relayd between them, which is killed again and again: one
worker, all workers, the store process, the supervisor, everything at once, or a process at a named point of its code
(relayd/failpoints.py). Then the queue drains, `relayd verify` looks at the store, and the two logs are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from relayd.failpoints import NAMES
from scripts.lib.load import HOSTED
from tests.kit.daemon import RelayProcess
from tests.kit.mail import message_id_of
from tests.kit.process import Child, python
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.wait import wait_for

# Those of retention's purge need mail of ninety days ago; tests/store has them.
FAILPOINTS = tuple(name for name in NAMES if not name.endswith("key-destroyed"))
#: How long after a kill the partner may still read, and take, what had been sent before it.
STILL_ARRIVING = 5.0
#: Messages acknowledged between two kills, at least.
PER_ROUND = 60
RANDOM_KILLS = ("worker", "workers", "store", "supervisor", "everything")


@dataclass
class Report:
    """What the campaign came to. ``lost`` counts messages of which a copy is missing or damaged.

    ``unexplained`` names copies that arrived twice though nothing was killed in between: only a death around the final
    dot may cost a duplicate.
    """

    seed: int
    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    never_reached: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    undrained: int = 0
    verify: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        return f"{self.kills} kills, {self.acknowledged} acknowledged, {self.lost} lost, {self.duplicated} duplicated"


class Campaign:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, seed: int, *, quiet: bool) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._quiet = quiet
        self.report = Report(seed)
        self._site = Site(folder)
        self._site.relayd["queue"] = {"schedule": ["1s", "1s", "2s"], "lease": "5s"}
        self._site.relayd["viewer"] = {"enabled": False}
        self._acknowledged = folder / "acknowledged.jsonl"
        self._relayd = RelayProcess(self._site)
        self._deaths: list[tuple[float, float]] = []

    def run(self, rounds: int) -> Report:
        started = time.monotonic()
        with Sink(self._folder / "partner", self._site.partner, port=self._site.partner_port, keep=False) as sink:
            self._relayd.start()
            try:
                self._kill_often(rounds)
                self._drain(sink)
                self._verify()
            finally:
                self._relayd.stop()
            self._compare(sink)
        self.report.seconds = round(time.monotonic() - started, 1)
        return self.report

    def _kill_often(self, rounds: int) -> None:
        client = self._client()
        try:
            self._wait_for_progress()
            for number, kind in enumerate(self._kinds(rounds), 1):
                self._round(kind)
                self._say(f"{number}/{rounds} {kind}: {self._count()} acknowledged")
        finally:
            client.stop()

    def _client(self) -> Child:
        site = self._site
        return Child(
            [
                *python("scripts.lib.load"),
                *("--port", str(site.relay_port), "--ca", site.authority.certificate),
                *("--certificate", site.hospital.certificate, "--key", site.hospital.key),
                *("--log", self._acknowledged, "--seed", str(self.report.seed)),
            ],
            self._folder / "client.log",
        )

    def _kinds(self, rounds: int) -> Iterable[str]:
        """Every kind comes equally often, in an order that the seed decides."""
        kinds: list[str] = []
        while len(kinds) < rounds:
            deck = [*RANDOM_KILLS, *(f"at {name}" for name in FAILPOINTS)]
            self._random.shuffle(deck)
            kinds += deck
        return kinds[:rounds]

    def _round(self, kind: str) -> None:
        started = time.monotonic()
        killed = self._at_failpoint(kind.removeprefix("at ")) if kind.startswith("at ") else self._at_random(kind)
        self._deaths.append((started, time.monotonic()))
        if killed:
            self.report.kills += 1
            self.report.by_kind[kind] += 1
        else:
            self.report.never_reached[kind] += 1
        self._wait_for_progress()

    def _at_random(self, kind: str) -> bool:
        time.sleep(self._random.uniform(0.05, 1.5))
        processes = self._relayd.processes()
        if kind == "everything":
            self._relayd.kill()
            self._relayd.start()
            return True
        if kind == "supervisor":
            os.kill(self._relayd.child.pid, signal.SIGKILL)
            # Its workers are orphans now and may go on for a moment; they must not outlive it for long.
            time.sleep(self._random.uniform(0, 0.5))
            self._relayd.kill()
            self._relayd.start()
            return True
        wanted = "store" if kind == "store" else "worker"
        victims = [pid for pid, role in processes.items() if role.startswith(wanted)]
        if kind == "worker":
            victims = self._random.sample(victims, min(1, len(victims)))
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def _at_failpoint(self, name: str) -> bool:
        """Restart with the point armed, see a process die of it, then let everything die and start anew."""
        self._relayd.kill()
        self._relayd.start({"RELAYD_FAILPOINT": f"{name}:{self._random.randint(1, 6)}"})
        before = set(self._relayd.processes())

        def died() -> bool:
            with contextlib.suppress(OSError):
                return bool(before - set(self._relayd.processes()))
            return True

        reached = True
        try:
            wait_for(died, f"a death at {name}", 15)
        except TimeoutError:
            reached = False
        self._relayd.kill()
        self._relayd.start()
        return reached

    def _count(self) -> int:
        return self._acknowledged.read_bytes().count(b"\n") if self._acknowledged.exists() else 0

    def _wait_for_progress(self) -> None:
        """So many more are acknowledged: whatever was killed is back, and has work in hand for the next kill."""
        goal = self._count() + PER_ROUND
        wait_for(lambda: self._count() >= goal, f"relayd to accept mail again:\n{self._relayd.log[-3000:]}", 60)

    def _drain(self, sink: Sink) -> None:
        """Wait until all that was promised has arrived; what hasn't after two quiet minutes never will."""
        seen, quiet_since = -1, time.monotonic()
        while self._missing(sink) and time.monotonic() - quiet_since < 120:
            time.sleep(0.5)
            arrived = len(sink.receipts)
            if arrived != seen:
                seen, quiet_since = arrived, time.monotonic()
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not self._relayd.json("queue", "list"), "an empty queue", 30)
        listed = self._relayd.json("queue", "list")
        self.report.undrained = len(listed)

    def _verify(self) -> None:
        done = self._relayd.cli("verify", check=False)
        self.report.verify = "" if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def _arrivals(self, sink: Sink) -> Counter[tuple[str, str, str]]:
        """How often each copy (message, recipient, digest of its body) arrived."""
        arrived: Counter[tuple[str, str, str]] = Counter()
        for receipt in sink.receipts:
            for recipient in receipt.recipients:
                arrived[(receipt.message_id, recipient, receipt.sha256)] += 1
        for path in self._site.mailbox(HOSTED).rglob("*"):
            if path.parent.name in ("new", "cur"):
                content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                digest = sha256(content.partition(b"\r\n\r\n")[2]).hexdigest()
                arrived[(message_id_of(content), HOSTED, digest)] += 1
        return arrived

    def _promised(self) -> dict[str, list[tuple[str, str, str]]]:
        """Copies per acknowledged message."""
        promised = {}
        for line in self._acknowledged.read_text().splitlines():
            said = json.loads(line)
            promised[said["id"]] = [(said["id"], recipient, said["sha256"]) for recipient in said["recipients"]]
        return promised

    def _missing(self, sink: Sink) -> list[str]:
        arrived = self._arrivals(sink)
        return [key for key, copies in self._promised().items() if any(copy not in arrived for copy in copies)]

    def _compare(self, sink: Sink) -> None:
        report = self.report
        report.acknowledged = len(self._promised())
        report.missing = self._missing(sink)
        report.lost = len(report.missing)
        report.duplicated = sum(times - 1 for times in self._arrivals(sink).values())
        report.unexplained = self._unexplained(sink)

    def _unexplained(self, sink: Sink) -> list[str]:
        """Second arrivals at the partner that no death can have caused."""
        last: dict[tuple[str, str], float] = {}
        found = []
        for receipt in sink.receipts:
            for recipient in receipt.recipients:
                copy = (receipt.message_id, recipient)
                before, last[copy] = last.get(copy), receipt.at
                if before is None:
                    continue
                if not any(began <= receipt.at and before <= ended + STILL_ARRIVING for began, ended in self._deaths):
                    found.append(f"{receipt.message_id} to {recipient}")
        return found

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeats an order of kills")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON before the last line")
    parser.add_argument("--keep", action="store_true", help="keep the folder, also when nothing was lost")
    parser.add_argument("--quiet", action="store_true", help="no line per round")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="relayd-crash-", dir="/var/tmp"))
    report = Campaign(folder, seed, quiet=arguments.quiet).run(arguments.rounds)
    fine = not (report.lost or report.verify or report.undrained or report.unexplained)
    if arguments.json:
        print(json.dumps(vars(report)))
    if report.never_reached:
        print(f"never reached: {dict(report.never_reached)}", file=sys.stderr)
    if report.verify:
        print(f"relayd verify: {report.verify}", file=sys.stderr)
    if report.unexplained:
        print(f"arrived twice without a kill in between: {', '.join(report.unexplained)}", file=sys.stderr)
    if report.undrained:
        print(f"still in the queue: {report.undrained}", file=sys.stderr)
    if fine and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"seed {seed}; everything is kept in {folder}", file=sys.stderr)
    print(report.line)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
