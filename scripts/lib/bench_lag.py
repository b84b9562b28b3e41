"""How late the event loops are: at rest, under load, while archives are inspected, and in a storm of logins.

Each process measures itself (relayd/telemetry/lag.py); here the histograms of before and after are subtracted. All
policies are on, TLS on both sides. Ordinary mail goes through the same workers meanwhile and its accept is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import smtplib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import libarchive

from relayd.telemetry.lag import quantile
from scripts.lib.bench_stage import (
    Crowd,
    footnote,
    markdown,
    milliseconds,
    scan,
    send,
    senders,
    share,
    small,
    stage,
    with_attachment,
)
from tests.kit.daemon import RelayProcess
from tests.kit.site import Site
from tests.kit.talk import ANNA

#: Milliseconds at p99, for workers.
GOAL = 50
ARCHIVE = 50 * 2**20
MEMBER = 5 * 2**20
ARCHIVES = {"zip": ("zip", None), "7z": ("7zip", None), "tar.gz": ("pax", "gzip"), "docx": ("zip", None)}
SESSIONS = 20
STORM = 40
ORDINARY = 4
#: Seconds between two messages of one ordinary sender.
PAUSE = 0.05
HEAD = ["situation", "done meanwhile", "workers' lag p50, ms", "p99", "longest", "store's p99", "accept p50, ms", "p99"]


@dataclass
class Figures:
    """One situation: the lag in milliseconds, the accept of ordinary mail in seconds, and what was done."""

    what: str
    p50: int | None = None
    p99: int | None = None
    longest: int | None = None
    store_p99: int | None = None
    accepts: list[float] = field(default_factory=list)
    done: str = ""

    @property
    def cells(self) -> list[str]:
        accept = [milliseconds(share(self.accepts, part)) for part in (0.5, 0.99)]
        return [
            self.what,
            self.done,
            *(f"≤ {value}" for value in (self.p50, self.p99, self.longest, self.store_p99)),
            *accept,
        ]


def counts(relayd: RelayProcess) -> dict[str, list[int]]:
    """Every process's histogram, as it stands."""
    return {process["role"]: process["loop_lag"] for process in relayd.status()}


@contextmanager
def watched(relayd: RelayProcess, what: str) -> Iterator[Figures]:
    """The lag between the context's beginning and its end."""
    figures, before = Figures(what), counts(relayd)
    yield figures
    after = counts(relayd)
    lag = {role: [b - a for a, b in zip(before[role], after[role], strict=True)] for role in after}
    workers = [sum(each) for each in zip(*(lag[role] for role in lag if role.startswith("worker")), strict=True)]
    figures.p50, figures.p99, figures.longest = (quantile(workers, part) for part in (0.5, 0.99, 1))
    figures.store_p99 = quantile(lag["store"], 0.99)


def archive(kind: str, folder: Path) -> bytes:
    """An archive of this kind, of 50 MiB: its members don't get smaller by compression. Kept in ``folder``."""
    path = folder / f"sample.{kind}"
    if not path.exists():
        form, filter_name = ARCHIVES[kind]
        with libarchive.file_writer(str(path), form, filter_name, options="compression-level=1") as writer:
            for number in range(ARCHIVE // MEMBER):
                name = f"word/media/image{number}.png" if kind == "docx" else f"scan-{number}.tif"
                content = scan(MEMBER)
                writer.add_file_from_memory(name, len(content), content)
    return path.read_bytes()


def logins(relayd: RelayProcess) -> Crowd:
    """Logins without end from many connections, every second one with a wrong password. How long each took is kept."""

    def work(crowd: Crowd) -> None:
        while not crowd.stop.is_set():
            for password in ("wrong", relayd.site.accounts[ANNA]):
                started = time.monotonic()
                with contextlib.suppress(smtplib.SMTPAuthenticationError), relayd.submission(ANNA, password):
                    pass
                crowd.took.append(time.monotonic() - started)

    return Crowd([work] * STORM)


def inspections(relayd: RelayProcess, kinds: Sequence[str]) -> Crowd:
    """A sender for each kind of archive, over and over."""

    def sender(wire: bytes) -> Callable[[Crowd], None]:
        def work(crowd: Crowd) -> None:
            with relayd.hospital() as client:
                while not crowd.stop.is_set():
                    crowd.took.append(send(client, wire))

        return work

    folder = relayd.site.folder
    return Crowd([sender(with_attachment(f"archive.{kind}", archive(kind, folder))) for kind in kinds])


@dataclass(frozen=True)
class Situation:
    """What goes on. ``others`` is the work beside ordinary mail, and ``did`` what to call it."""

    what: str
    others: Callable[[RelayProcess], Crowd] | None = None
    did: str = ""
    mail: bool = True
    storm: bool = False

    def run(self, relayd: RelayProcess, seconds: float) -> Figures:
        with contextlib.ExitStack() as going_on:
            others = going_on.enter_context(self.others(relayd)) if self.others else None
            mail = going_on.enter_context(senders(relayd, ORDINARY, small(), pause=PAUSE)) if self.mail else None
            if self.storm:
                going_on.enter_context(logins(relayd))
            with watched(relayd, self.what) as figures:
                time.sleep(seconds)
        figures.accepts = mail.took if mail else []
        figures.done = f"{len(others.took)} {self.did}" if others else ""
        return figures


def situations() -> Iterator[Situation]:
    yield Situation("at rest", mail=False)
    yield Situation("ordinary mail alone")
    busy = partial(senders, count=SESSIONS, wire=small())
    yield Situation(f"4 KiB from {SESSIONS} sessions without pause", busy, "sent")
    for kind in ARCHIVES:
        yield Situation(f"{kind} of {ARCHIVE >> 20} MiB", partial(inspections, kinds=[kind]), "inspected")
    yield Situation(f"logins from {STORM} connections", logins, "logins")
    everything = partial(inspections, kinds=list(ARCHIVES))
    yield Situation("all archives and logins at once", everything, "inspected", storm=True)


def generous(site: Site) -> None:
    """Let archives of that size in, and go on checking passwords however many were wrong."""
    site.relayd["limits"] = {"message_size": "100MiB", "auth_failures": 10**6, "connections_per_peer": 500}
    next(policy for policy in site.policies if policy["policy"] == "message_size")["limit"] = "60MiB"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench lag", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each situation lasts (default: 15)")
    parser.add_argument("--only", default="", help="situations whose name contains this")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where mail is kept meanwhile")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(words)
    results = []
    with stage(arguments.folder, generous) as on:
        for situation in situations():
            if arguments.only in situation.what:
                results.append(situation.run(on.relayd, arguments.seconds))
                print(f"{situation.what}: at most {results[-1].p99} ms at p99", file=sys.stderr, flush=True)
                on.drained()
    if arguments.json:
        print(json.dumps([asdict(figures) for figures in results]))
    else:
        print(markdown(HEAD, [figures.cells for figures in results]))
        print(f"\nGoal: workers' p99 under {GOAL} ms. {footnote('scripts/bench lag')}")
    return 1 if any(figures.p99 is None or figures.p99 >= GOAL for figures in results) else 0
