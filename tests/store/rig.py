"""A store with vault and bodies in a temporary folder, driven by a clock that the test turns."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayd.journal.event import Event
from relayd.mail.meta import MessageMeta
from relayd.settings.models import StoreSettings
from relayd.store.blobs import Blobs
from relayd.store.database import connect_reader
from relayd.store.disk import Disk
from relayd.store.ids import new_id
from relayd.store.records import BlobRef, NewDelivery, NewMessage, State
from relayd.store.sqlite import SqliteStore
from relayd.store.verify import Verifier, Violation, database_of
from relayd.vault.epochs import EpochKeys, epoch_of
from relayd.vault.keyring import Keyring, generate
from relayd.vault.meta import seal_meta
from relayd.vault.vault import MessageKey, Vault

DAY = 86400.0
#: 2026-11-23 20:00 UTC, a Monday.
START = 1795464000.0
SETTINGS = StoreSettings(minimum_free=0)


@dataclass
class Clock:
    """Both clocks, turned together."""

    wall: float = START
    since_boot: float = 1000.0

    def now(self) -> float:
        return self.wall

    def boot(self) -> float:
        return self.since_boot

    def turn(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


class FailingDisk(Disk):
    """A disk that fails at the calls named in ``broken`` until they are taken out again."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.free_octets = 10**12

    def _check(self, name: str) -> None:
        if name in self.broken:
            raise OSError(5, "Input/output error")

    def append(self, descriptor: int, data: bytes | bytearray) -> None:
        self._check("append")
        super().append(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        self._check("sync_data")
        super().sync_data(descriptor)

    def sync(self, descriptor: int) -> None:
        self._check("sync")
        super().sync(descriptor)

    def free(self, folder: Path) -> int:
        self._check("free")
        return self.free_octets


@dataclass
class Rig:
    """Everything on one folder. ``open`` gives a store; close it yourself."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    disk: FailingDisk = field(default_factory=FailingDisk)
    settings: StoreSettings = SETTINGS
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        self.keys = self.folder / "keys"
        self.keyring = Keyring.load(self.keys) if self.keys.exists() else generate(self.keys)
        self.epochs = EpochKeys(self.keys / "epochs", self.keyring)
        self.vault = Vault(self.keyring, self.epochs)
        self.blobs = self.worker("w1")

    def worker(self, name: str) -> Blobs:
        return Blobs(self.state / "blobs", name, settings=self.settings, clock=self.clock, disk=self.disk)

    async def open(self) -> SqliteStore:
        return await SqliteStore.open(self.state, self.clock, self.settings, disk=self.disk)

    def key(self, organisation: str = "hospital") -> MessageKey:
        return self.vault.new(organisation, epoch_of(self.clock.now()), new_id(self.clock, self.random))

    async def body(self, key: MessageKey, content: bytes, blobs: Blobs | None = None) -> BlobRef:
        receiving = (blobs or self.blobs).receive(key)
        for start in range(0, len(content), 100_000):
            receiving.write(content[start : start + 100_000])
        ref = await (blobs or self.blobs).make_durable(receiving.finish())
        # Files have the time of the machine, which stands anywhere relative to ours.
        os.utime(self.state / "blobs" / ref.file, (self.clock.wall, self.clock.wall))
        return ref

    async def message(
        self,
        *recipients: str,
        content: bytes = b"Subject: canary-subject\r\n\r\ncanary-body\r\n",
        organisation: str = "hospital",
        days: float = 90,
        key: MessageKey | None = None,
        **delivery: Any,
    ) -> NewMessage:
        """A message whose body is durable, not yet accepted."""
        key = key or self.key(organisation)
        now = self.clock.now()
        body = await self.body(key, content)
        meta = MessageMeta(head_length=content.find(b"\r\n\r\n") + 2, subject="canary-subject")
        given = {"route": "relay", "target": "mx:25", "next_attempt": now} | delivery
        return NewMessage(
            id=key.message_id,
            organisation=organisation,
            epoch=key.epoch,
            received_at=now,
            expires_at=now + days * DAY,
            sender="info@hospital.example",
            size=len(content),
            origin="relay",
            wrapped_key=key.wrapped,
            body=body,
            meta=seal_meta(key, meta),
            deliveries=tuple(
                NewDelivery(number=number, recipient=one, domain=one.partition("@")[2], **given)
                for number, one in enumerate(recipients or ("a@clinic.example",))
            ),
            events=(Event(now, "received", facts={"peer": "192.0.2.1"}),),
        )

    def verify(self, *, deep: bool = True) -> list[Violation]:
        verifier = Verifier(self.state, self.blobs, self.epochs, self.vault, self.clock)
        db = connect_reader(database_of(self.state))
        try:
            return list(verifier.run(db, deep=deep))
        finally:
            db.close()


HELD = {"state": State.HELD}
