"""Power cuts: one recorded run of relayd under load, and what it makes of its disk as cuts at many moments leave it."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from bisect import bisect_right
from pathlib import Path

from scripts.lib.crash.installation import Installation
from scripts.lib.crash.oracle import Evidence, Judgement, judge
from scripts.lib.crash.report import Death, Progress, Report
from scripts.lib.crash.told import Told
from scripts.lib.load import Acknowledged
from tests.kit.daemon import RELAYD
from tests.kit.power_cut import Disk, lay_out
from tests.kit.preload import build
from tests.kit.recording import Entry, Kind, Recorder
from tests.kit.sink import Sink

KIND = "power cut"
#: How long relayd may take to start on what a cut left, and do nothing before what it has still counts as lost.
_START = 30.0
_PATIENCE = 10.0
#: How much of what was not synced survives a cut: from nothing over a part to all of it.
_SURVIVING = (0.0, 0.0, 0.1, 0.5, 0.9, 1.0)
#: How long the partner takes for a message, in seconds: a cut must find some that are acknowledged and nowhere else.
_PAUSE = 0.1
#: Messages acknowledged in each of a recording's two lives.
_PER_LIFE = 50


class PowerCuts:
    """One installation, recorded once and cut off often. ``skip`` makes relayd's syncs of "files" or "folders" void."""

    def __init__(
        self,
        folder: Path,
        report: Report,
        random_: random.Random,
        progress: Progress,
        command: tuple[str | Path, ...] = (RELAYD,),
        skip: str = "",
    ) -> None:
        seed = random_.randrange(10**6)
        self._installation = Installation(folder, seed=seed, command=command, longest_wait="2s")
        self._relayd = self._installation.relayd
        self._random = random_
        self._report = report
        self._progress = progress
        self._recorder = Recorder(self._installation.disk, folder / "record")
        self._skip = {"RELAYD_RECORD_SKIP": skip} if skip else {}
        self._deaths: list[Death] = []
        self._boots = 0

    def run(self, cuts: int) -> None:
        """Record, cut off at so many moments, and judge each. Stops at the first loss."""
        with self._installation.partner(pause=_PAUSE) as sink:
            try:
                disk = self._record()
                entries = self._recorder.entries()
                self._installation.give_in(sink)
                acknowledged = self._installation.acknowledged()
                recorded = judge(self._installation.evidence(sink, told=Told()))
                self._report.judged(Judgement(again=recorded.again), self._deaths, acknowledged=len(acknowledged))
                position = 0
                for cut in self._moments(cuts, entries, acknowledged):
                    until = bisect_right(entries, cut, key=lambda entry: entry.at)
                    disk.apply(entries[position:until])
                    position = until
                    self._cut(disk, cut, sink)
                    if self._report.lost:
                        return
            finally:
                self._relayd.kill()
                self._relayd.stop()  # nothing left to stop, but its socket

    def _record(self) -> Disk:
        """Two lives under load. In the first a process dies in place of a sync, so that others go on with what the
        kernel has and the disk hasn't. The disk as it was before."""
        installation = self._installation
        if self._random.random() < 0.5:
            installation.age()
        else:
            self._relayd.prepare()  # relayd makes all but its root key itself
        disk = Disk(installation.disk)
        environment = {**self._recorder.environment, **self._skip}
        before = installation.deaths()
        began = time.monotonic()
        self._relayd.launch({**environment, "RELAYD_RECORD_DIE_AT": str(self._random.randint(1, 40))})
        client = installation.client()
        try:
            if installation.wait_for_death(before, 3):
                with contextlib.suppress(TimeoutError):
                    installation.wait_for_acknowledged(_PER_LIFE, 1.5)
            self._relayd.kill()
            self._deaths.append(Death("in place of a sync", began, time.monotonic()))
            self._relayd.start(environment)
            installation.wait_for_acknowledged(_PER_LIFE)
            self._relayd.kill()
        finally:
            client.stop()
        time.sleep(2 * _PAUSE)  # what the partner has whole, it writes a receipt for still
        return disk

    def _moments(self, cuts: int, entries: list[Entry], acknowledged: list[Acknowledged]) -> list[float]:
        """At random, and right behind acknowledgements and syncs, of which a commit is one."""
        replies = [one.at for one in acknowledged]
        syncs = [entry.at for entry in entries if entry.kind is Kind.SYNC_DONE] or replies
        first, last = entries[0].at, entries[-1].at
        moments = (
            lambda: self._random.choice(replies),
            lambda: self._random.choice(syncs),
            lambda: self._random.uniform(first, last),
        )
        return sorted(moments[number % len(moments)]() for number in range(cuts))

    def _cut(self, disk: Disk, cut: float, sink: Sink) -> None:
        """Put in place what a cut at this moment leaves, start relayd on it, and judge."""
        installation, report = self._installation, self._report
        shutil.rmtree(installation.disk)
        lay_out(disk.cut(self._random, self._random.choice(_SURVIVING)), installation.disk)
        again = time.monotonic()
        judgement = judge(self._after(sink).as_of(cut, again))
        judgement.again = [(first, second) for first, second in judgement.again if second >= again]
        report.died(KIND)
        report.judged(judgement, [Death(KIND, cut, again)], acknowledged=0)
        self._relayd.kill()
        self._progress.tell(f"{KIND}: {report.acknowledged} acknowledged")

    def _after(self, sink: Sink) -> Evidence:
        """What there is when relayd has started on its disk and done what it can."""
        installation = self._installation
        if trouble := installation.start(self._boot(), _START):
            self._report.faults.append(trouble)
            return installation.evidence(sink, told=Told())
        installation.drain(_PATIENCE)
        self._report.faults += installation.wait_until_forgotten(_PATIENCE)
        self._report.faults += [f"verify: {found}" for found in installation.verify()]
        return installation.evidence(sink)

    def _boot(self) -> dict[str, str]:
        """The environment of a machine that was switched off and on."""
        self._boots += 1
        boot_id = self._installation.folder / "boot_id"
        boot_id.write_text(f"boot {self._boots}\n")
        return {"LD_PRELOAD": str(build("record")), "RELAYD_RECORD_BOOT_ID": str(boot_id)}
