"""Retention as a whole: rows, keys and files. Run every hour in the store process.

A backup made before :meth:`Purge.run` destroyed an epoch's key opens nothing of that epoch, since the key was never in
it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from relayd import failpoints
from relayd.clock import Clock
from relayd.store.blobs import Blobs
from relayd.store.forgetting import Ending, Epoch
from relayd.store.interface import Store
from relayd.vault.epochs import EpochKeys

log = structlog.get_logger("relayd.store")

#: A sender is told this long before a message that still waits is forgotten.
WARNING: Final = 3 * 86400.0
#: Seconds between two rounds.
EVERY: Final = 3600.0
#: Seconds that wall and boot clock may drift apart between two rounds.
_TOLERANCE: Final = 60.0
_BATCH: Final = 500


class TellSender(Protocol):
    """Says to a message's sender that it waits still and will be forgotten."""

    async def __call__(self, ending: Ending) -> None: ...


@dataclass(frozen=True, slots=True)
class Purged:
    """What one run did."""

    told: int = 0
    expired: int = 0
    epochs: int = 0
    files: int = 0


class Purge:
    """Forgets what has had its day."""

    def __init__(self, store: Store, epochs: EpochKeys, blobs: Blobs, clock: Clock, tell: TellSender | None) -> None:
        self._store = store
        self._epochs = epochs
        self._blobs = blobs
        self._clock = clock
        self._tell = tell
        #: Wall and boot time of the last sweep.
        self._swept_at: tuple[float, float] | None = None

    async def run(self) -> Purged:
        """One round. It may be cut off anywhere: the next one goes on."""
        if not await self._store.call("clock_is_steady"):
            log.error("clock_doubted", reason="it moved by more than a day since the last round; nothing is forgotten")
            return Purged(files=await self.sweep())
        told = await self._tell_senders()
        expired = 0
        while count := await self._store.call("forget_expired", limit=_BATCH):
            expired += count
        destroyed = 0
        for epoch in await self._store.call("epochs_due"):
            destroyed += await self._destroy(epoch)
        done = Purged(told, expired, destroyed, await self.sweep())
        if done != Purged():
            log.info("purged", told=told, expired=expired, epochs=destroyed, files=done.files)
        return done

    async def sweep(self) -> int:
        """Remove files that no row points at and nobody wrote to for ``sweep_age``; how many.

        Nothing when the wall clock has jumped since the last time: then a file looks old whose row is still to come.
        """
        now, boot = self._clock.now(), self._clock.boot()
        before, self._swept_at = self._swept_at, (now, boot)
        if before is not None and abs((now - before[0]) - (boot - before[1])) > _TOLERANCE:
            log.warning("not_swept", reason="the clock has jumped")
            return 0
        old = await asyncio.to_thread(self._blobs.sweep_candidates, now)
        removed = 0
        for start in range(0, len(old), _BATCH):
            orphans = await self._store.call("files_without_rows", files=old[start : start + _BATCH])
            removed += await asyncio.to_thread(self._blobs.sweep, orphans)
        return removed

    async def _tell_senders(self) -> int:
        if self._tell is None:
            return 0
        endings: list[Ending] = await self._store.call("about_to_expire", before=self._clock.now() + WARNING)
        for ending in endings:
            await self._tell(ending)
            await self._store.call("sender_was_told", message_id=ending.message_id)
        return len(endings)

    async def _destroy(self, epoch: Epoch) -> bool:
        if not await self._store.call("epoch_is_due", epoch=epoch):
            return False
        failpoints.reach("before-key-destroyed")
        await asyncio.to_thread(self._epochs.destroy, epoch.organisation, epoch.epoch)
        failpoints.reach("after-key-destroyed")
        while not await self._store.call("forget_epoch", epoch=epoch):
            pass
        return True
