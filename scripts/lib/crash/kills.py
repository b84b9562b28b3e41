"""Rounds of kill -9 under load: at random moments, and at each named point of the code (relayd/failpoints.py)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

from relayd.failpoints import NAMES
from scripts.lib.crash.installation import Installation
from scripts.lib.crash.oracle import Judgement, judge
from scripts.lib.crash.report import Death, Progress, Report
from tests.kit.daemon import RELAYD
from tests.kit.sink import Sink

AT_RANDOM = ("worker", "workers", "store", "supervisor", "everything")
#: Points that the campaign's mail doesn't pass: a daily report is due once a day, and nothing of it is EDI. These
#: deaths are in tests/behaviour/test_reports_sent.py and test_edi_story.py.
_ELSEWHERE = ("before-report-settled", "copy-made")
KINDS = (*AT_RANDOM, *(f"at {name}" for name in NAMES if name not in _ELSEWHERE))
#: Points of retention's purge, which needs old mail and runs when relayd starts.
_PURGE = ("at before-key-destroyed", "at after-key-destroyed")
#: Messages acknowledged between two kills, at least.
_PER_ROUND = 40
#: How long relayd may do nothing before what it still has counts as lost: longer than any lease.
PATIENCE = 75.0


def deck(rounds: int, random_: random.Random) -> list[str]:
    """Every kind equally often, in an order that chance decides."""
    kinds: list[str] = []
    while len(kinds) < rounds:
        more = list(KINDS)
        random_.shuffle(more)
        kinds += more
    return kinds[:rounds]


class Kills:
    """One installation, killed again and again."""

    def __init__(
        self,
        folder: Path,
        report: Report,
        random_: random.Random,
        progress: Progress,
        command: tuple[str | Path, ...] = (RELAYD,),
        patience: float = PATIENCE,
    ) -> None:
        self._installation = Installation(folder, seed=random_.randrange(10**6), command=command)
        self._relayd = self._installation.relayd
        self._random = random_
        self._report = report
        self._progress = progress
        self._patience = patience
        self._deaths: list[Death] = []
        self._armed = False
        self._held: frozenset[tuple[str, str]] = frozenset()

    def run(self, kinds: list[str]) -> None:
        """One round for each of these kinds, then the judgement."""
        installation = self._installation
        installation.age()
        with installation.partner() as sink:
            self._relayd.start()
            try:
                client = installation.client()
                try:
                    installation.wait_for_acknowledged(_PER_ROUND)
                    for number, kind in enumerate(kinds):
                        self._round(kind)
                        if number == len(kinds) // 2:
                            self._hold()
                finally:
                    client.stop()
                self._disarm()
                installation.drain(self._patience)
                self._report.faults += installation.wait_until_forgotten(30)
                judgement = judge(installation.evidence(sink, held=self._held))
                self._report.judged(judgement, self._deaths, acknowledged=judgement.acknowledged)
                if not judgement.lost:
                    self._report.judged(Judgement(lost=self._what_waited(sink)), [], acknowledged=0)
                self._report.faults += [f"verify: {found}" for found in installation.verify()]
            finally:
                self._relayd.kill()
                self._relayd.stop()  # nothing left to stop, but its socket

    def _what_waited(self, sink: Sink) -> dict[str, str]:
        """Losses among what was still waiting or held, when it may go and the partner takes it."""
        self._installation.give_in(sink)
        for action in ("release", "retry"):
            self._relayd.cli("queue", action, "--all", check=False)
        self._installation.drain(self._patience)
        return judge(self._installation.evidence(sink)).lost

    def _round(self, kind: str) -> None:
        if kind.startswith("at "):
            reached = self._at_point(kind)
        else:
            reached = self._at_random(kind)
        if reached:
            self._report.died(kind)
        else:
            self._report.never_reached[kind] += 1
        if not self._armed:
            self._installation.wait_for_acknowledged(_PER_ROUND)
        self._progress.tell(f"{kind}: {self._report.acknowledged + self._installation.count()} acknowledged")

    def _at_random(self, kind: str) -> bool:
        if self._armed:
            self._disarm()
            self._installation.wait_for_acknowledged(_PER_ROUND)
        time.sleep(self._random.uniform(0.02, 0.8))
        began = time.monotonic()
        killed = self._kill_some(kind)
        self._deaths.append(Death(kind, began, time.monotonic()))
        return killed

    def _kill_some(self, kind: str) -> bool:
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
        victims = [pid for pid, role in self._relayd.processes().items() if role.startswith(wanted)]
        if kind == "worker":
            victims = self._random.sample(victims, min(1, len(victims)))
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def _at_point(self, kind: str) -> bool:
        """Kill everything, start with the point armed, and see a process die of it. The others live until the next
        round; the one that died is started again and may well die again."""
        installation = self._installation
        self._kill()
        count = self._random.randint(1, 6)
        if kind in _PURGE:
            count = 1
            installation.age()
        before = installation.deaths()
        self._armed = True
        self._deaths.append(Death(kind, time.monotonic(), math.inf))
        self._relayd.launch({"RELAYD_FAILPOINT": f"{kind.removeprefix('at ')}:{count}"})
        return installation.wait_for_death(before, 30)

    def _kill(self) -> None:
        """The end of a life, in which a point may have killed again and again."""
        began = time.monotonic()
        self._relayd.kill()
        last = self._deaths[-1] if self._deaths else None
        if last is not None and last.ended == math.inf:
            self._deaths[-1] = replace(last, ended=time.monotonic())
        else:
            self._deaths.append(Death("everything", began, time.monotonic()))

    def _disarm(self) -> None:
        """A relayd that no point kills, if this one isn't."""
        if self._armed:
            self._armed = False
            self._kill()
            self._relayd.start()

    def _hold(self) -> None:
        """An operator sets aside what nobody takes, and is told of which."""
        self._disarm()
        words = ("queue", "hold", "--recipient", "neverhold-*", "--reason", "campaign", "--json")
        changed = {tuple(place) for place in json.loads(self._relayd.cli(*words, check=False).stdout)["changed"]}
        self._held = frozenset(
            (queue_id, address)
            for queue_id, recipients in self._installation.told().messages.items()
            for address, recipient in recipients.items()
            if (queue_id, recipient.number) in changed
        )
