"""One relayd with its surroundings: the folder that stands for its disk, a client, a partner, and the three logs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from relayd.cli.connect import configuration_of
from relayd.cli.verify import examine
from relayd.errors import StoreUnavailable
from relayd.store.database import connect_reader
from relayd.store.records import State
from relayd.store.verify import is_running
from relayd.tls.contexts import use_shipped_openssl_conf
from relayd.vault.epochs import epoch_of
from scripts.lib import load
from scripts.lib.crash.oracle import Arrival, Evidence
from scripts.lib.crash.told import Told
from scripts.lib.load import HOSTED
from tests.kit.daemon import RELAYD, RelayProcess
from tests.kit.mail import message_id_of
from tests.kit.process import Child, python
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.wait import wait_for
from tests.store.rig import DAY, Clock, Rig

#: Whose mail is old enough to be forgotten. relayd knows the organisation by its keys and rows only.
AGED = "oud"
#: How the supervisor tells that one of its processes died of SIGKILL.
_DIED = re.compile(rb"process ended .*status=-9")
_STORE_ENDED = re.compile(rb"process ended .*role=store")
#: A store process that ended so often won't start the next time either.
_HOPELESS = 3


class Installation:
    """Everything in ``folder``; what relayd keeps is below ``disk``."""

    def __init__(
        self, folder: Path, *, seed: int, command: Sequence[str | Path] = (RELAYD,), longest_wait: str = "5s"
    ) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.seed = seed
        self.aged: list[str] = []
        self._given_in = False
        site = self.site = Site(folder)
        site.state, site.keys, site.maildir = self.disk / "state", self.disk / "keys", self.disk / "maildir"
        site.relayd |= {"state": str(site.state), "keys": str(site.keys), "viewer": {"enabled": False}}
        site.relayd["queue"] = {"schedule": ["1s", "1s", "2s", longest_wait], "lease": "3s"}
        site.relayd["mailboxes"]["hosted"]["maildir"] = str(site.maildir)
        self.disk.mkdir(mode=0o700)
        # What relayd sets first, to begin anew with it: half of a start's time, and not what sabotage should begin as.
        self.relayd = RelayProcess(site, command=command, environment=use_shipped_openssl_conf({}))
        self._acknowledged = folder / "acknowledged.jsonl"
        self._log = folder / "relayd.log"

    def partner(self, *, pause: float = 0.0) -> Sink:
        folder, port = self.folder / "partner", self.site.partner_port
        return Sink(folder, self.site.partner, port=port, keep=False, pause=pause)

    def client(self) -> Child:
        site = self.site
        return Child(
            [
                *python("scripts.lib.load"),
                *("--port", str(site.relay_port), "--ca", site.authority.certificate),
                *("--certificate", site.hospital.certificate, "--key", site.hospital.key),
                *("--log", self._acknowledged, "--seed", str(self.seed)),
            ],
            self.folder / "client.log",
        )

    def give_in(self, sink: Sink) -> None:
        """Let the partner take what it never took: mail that waits must be whole too."""
        sink.give_in()
        self._given_in = True

    # -- what is outside relayd

    def acknowledged(self) -> list[load.Acknowledged]:
        return load.read(self._acknowledged)

    def count(self) -> int:
        """How many messages were acknowledged."""
        return self._acknowledged.read_bytes().count(b"\n") if self._acknowledged.exists() else 0

    def wait_for_acknowledged(self, more: int, timeout: float = 90) -> None:
        """So many more: whatever was killed is back, and has work in hand for the next kill."""
        goal = self.count() + more
        wait_for(lambda: self.count() >= goal, f"relayd to accept mail again:\n{self.relayd.log[-3000:]}", timeout)

    def evidence(
        self, sink: Sink, *, held: frozenset[tuple[str, str]] = frozenset(), told: Told | None = None
    ) -> Evidence:
        """All logs, with what relayd says unless ``told`` stands in for it."""
        return Evidence(
            acknowledged=self.acknowledged(),
            receipts=sink.receipts,
            refusals=sink.refusals,
            mailbox=self._mailbox(),
            told=self.told() if told is None else told,
            held=held,
            given_in=self._given_in,
        )

    def _mailbox(self) -> list[Arrival]:
        found, now = [], time.time() - time.monotonic()
        for path in self.site.mailbox(HOSTED).rglob("*"):
            if path.parent.name in ("new", "cur"):
                content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                digest = sha256(content.partition(b"\r\n\r\n")[2]).hexdigest()
                found.append(Arrival((_message_id(content), HOSTED), digest, path.stat().st_mtime - now))
        return found

    # -- what relayd says

    def told(self) -> Told:
        """The journal and the queue, read while nothing changes them any more."""
        with contextlib.closing(connect_reader(self.site.state / "relayd.db")) as db:
            return Told.read(db)

    def waiting(self) -> int:
        """Deliveries that relayd still means to make, but for those that nobody will ever take."""
        with contextlib.closing(connect_reader(self.site.state / "relayd.db")) as db:
            query = "SELECT count(*) FROM delivery WHERE recipient NOT LIKE ? AND state IN (?, ?)"
            nobody = "" if self._given_in else "never%"
            return int(db.execute(query, (nobody, State.QUEUED, State.UNDECIDED)).fetchone()[0])

    def drain(self, patience: float) -> int:
        """Until relayd has nothing more to do, or nothing has changed for ``patience`` seconds: how much is left."""
        seen, since = -1, time.monotonic()
        while (left := self.waiting()) and time.monotonic() - since < patience:
            if left != seen:
                seen, since = left, time.monotonic()
            time.sleep(0.1)
        return left

    def verify(self) -> list[str]:
        """What ``relayd verify --deep`` finds."""
        try:
            violations, _ = examine(configuration_of(str(self.site.config)), deep=True)
        except StoreUnavailable as error:
            return [str(error)]
        return [f"{one.rule} {one.subject}: {one.text}" for one in violations]

    def start(self, environment: Mapping[str, str], timeout: float) -> str:
        """Start relayd; why it doesn't, "" when it does."""
        before, until = self._log.stat().st_size, time.monotonic() + timeout
        notifications, child = self.relayd.launch(environment)
        while True:
            try:
                notifications.wait("READY", child, 0.5)
            except (RuntimeError, TimeoutError):
                log = self._log.read_bytes()[before:]
                ended = child.returncode is not None or len(_STORE_ENDED.findall(log)) >= _HOPELESS
                if ended or time.monotonic() > until:
                    return f"relayd doesn't start: {log[-2000:].decode()}"
            else:
                return ""

    def deaths(self) -> int:
        """How many of its processes relayd saw killed, in all its lives."""
        return len(_DIED.findall(self._log.read_bytes())) if self._log.exists() else 0

    def wait_for_death(self, since: int, timeout: float) -> bool:
        """Whether one more died than the ``since`` that had."""
        with contextlib.suppress(TimeoutError):
            return wait_for(lambda: self.deaths() > since, "a death", timeout)
        return False

    # -- old mail

    def age(self) -> None:
        """Put mail of long ago into the store, of a week of its own, while relayd doesn't run: its day is over."""
        # Who was killed a moment ago may hold the store for another one.
        wait_for(lambda: not is_running(self.site.state), "the last store process to be gone")
        clock = Clock(time.time() - (30 - len(self.aged)) * 7 * DAY)
        asyncio.run(_add_old_mail(Rig(self.disk, clock)))
        self.aged.append(epoch_of(clock.now()))

    def remembered(self) -> list[str]:
        """What is left of aged mail whose forgetting relayd should have finished: nothing."""
        keys = self.site.keys / "epochs" / AGED
        found = [f"the key of {epoch} is still there" for epoch in self.aged if (keys / f"{epoch}.json").exists()]
        found += [f"{epoch} isn't marked" for epoch in self.aged if not (keys / f"{epoch}.destroyed").exists()]
        with contextlib.closing(connect_reader(self.site.state / "relayd.db")) as db:
            rows = db.execute("SELECT count(*) FROM message WHERE organisation = ?", (AGED,)).fetchone()[0]
        return [*found, f"{rows} rows are still there"] if rows else found

    def wait_until_forgotten(self, timeout: float) -> list[str]:
        """What relayd still remembers of what it should forget, after ``timeout`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not self.remembered(), "aged mail to be forgotten", timeout)
        return self.remembered()


def _message_id(content: bytes) -> str:
    """The Message-ID, or "" for what is damaged."""
    try:
        return message_id_of(content)
    except ValueError:
        return ""


async def _add_old_mail(rig: Rig) -> None:
    store = await rig.open()
    try:
        for _ in range(5):
            await store.accept(await rig.message(organisation=AGED, days=1, state=State.DELIVERED))
    finally:
        await store.close()
        await rig.blobs.close()
