"""Sealed bodies on disk.

::

    blobs/2026-W48/w1-3k9d….segment     small bodies, one after the other; one open segment per worker and week
    blobs/2026-W48/0k7m….body           one large body
    blobs/incoming/w1-….part            a large body while it arrives

Bodies come first, rows after them. What a worker appends to its segment is synced by the store, right before the rows
that point there and once for all that came together (store/bodies.py); a large body syncs itself. A segment is written
by the process that made it and never by a later one, since its tail may be torn.
What no row points at is harmless, and :meth:`Blobs.sweep` removes it once it is old. A file goes when every body in it
belongs to a message that is gone; nothing is ever rewritten.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from relayd import failpoints
from relayd.clock import Clock
from relayd.errors import BodyNotStored
from relayd.settings.models import StoreSettings
from relayd.store.disk import Disk, FreeSpace
from relayd.store.receiving import BlobReceiving, StoredBody
from relayd.store.records import BlobRef
from relayd.store.sealed_body import PART, SealedBody
from relayd.vault.files import make_private_folder
from relayd.vault.vault import MessageKey

__all__ = ["BlobReceiving", "Blobs", "SealedBody", "StoredBody"]

log = structlog.get_logger("relayd.store")

_INCOMING: Final = "incoming"
SEGMENT: Final = ".segment"
_BODY: Final = ".body"
#: A message received just before the week ended may be stored after one received just after it.
_OPEN_WEEKS: Final = 2


@dataclass(slots=True)
class _Segment:
    """This worker's open segment of one week."""

    path: Path
    name: str
    descriptor: int
    position: int = 0
    #: One sync at a time: a failure is told to one of those that share the descriptor.
    syncing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Blobs:
    """The bodies of one installation, as one worker sees them. Only what this object made does it append to."""

    def __init__(
        self, folder: Path, worker: str, *, settings: StoreSettings, clock: Clock, disk: Disk | None = None
    ) -> None:
        self._folder = folder
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._disk = disk or Disk()
        self._space = FreeSpace(folder, settings.minimum_free, clock, self._disk)
        self._segments: dict[str, _Segment] = {}
        self._distrusted: set[str] = set()
        self._weeks: set[str] = set()
        make_private_folder(folder / _INCOMING)

    def receive(self, key: MessageKey, part: str = PART) -> BlobReceiving:
        """Where a body of this message goes while it arrives, or another ``part`` of it while it is made."""
        temporary = self._folder / _INCOMING / f"{self._worker}-{key.message_id}-{os.urandom(4).hex()}.part"
        return BlobReceiving(key, temporary, self._disk, part)

    async def keep(self, stored: StoredBody) -> BlobRef:
        """Put a complete body where it stays. A small one survives a power cut once the store has accepted a message
        that points at it; a large one when this returns. Raises StoreUnavailable."""
        self._space.require()
        if stored.file is None:
            return self._append(stored)
        ref = await asyncio.get_running_loop().run_in_executor(None, self._keep_large, stored, stored.file)
        stored.moved(self.open(ref, stored.key, len(stored.head), stored.size, stored.part))
        return ref

    async def make_durable(self, stored: StoredBody) -> BlobRef:
        """The same, and it survives a power cut when this returns."""
        ref = await self.keep(stored)
        await self.sync(ref)
        return ref

    async def sync(self, ref: BlobRef) -> None:
        """Make a kept body survive a power cut. Raises BodyNotStored, also for a failure that the store has met and
        nobody knows of any more: the kernel tells each opening of a file of every failure since then."""
        if not ref.file.endswith(SEGMENT):
            return
        segment = self._open_segment(ref)
        async with segment.syncing:
            self._open_segment(ref)  # given up meanwhile, if the sync before this one failed
            descriptor = os.dup(segment.descriptor)
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._disk.sync_data, descriptor)
            except OSError as error:
                self.distrust()
                raise _not_stored(error) from error
            finally:
                os.close(descriptor)

    def distrust(self) -> None:
        """After a failed sync nobody knows what of the open segments is on the disk: append no more to them."""
        self._distrusted.update(segment.name for segment in self._segments.values())
        self._close_segments()

    def trusts(self, ref: BlobRef) -> bool:
        """False when the body's segment was given up since the body was kept."""
        return ref.file not in self._distrusted

    def open(self, ref: BlobRef, key: MessageKey, head_length: int, size: int, part: str = PART) -> SealedBody:
        """A stored body for reading. What is wrong with its octets is told when they are read."""
        return SealedBody(self._folder / ref.file, ref.offset, ref.length, key, head_length, size, part)

    def remove(self, ref: BlobRef) -> None:
        """Remove a body that is no message's after all. In a segment it stays, sealed, until the segment goes."""
        if ref.file.endswith(_BODY):
            (self._folder / ref.file).unlink(missing_ok=True)

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file there is: the name as rows have it, or with ``incoming/``, and its facts."""
        for path in sorted(self._folder.glob("*/*")):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            yield f"{path.parent.name}/{path.name}", facts

    def size_of(self, name: str) -> int:
        """The size of a body file, -1 without it."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return -1

    def in_use(self, name: str) -> bool:
        """Whether a worker still writes to this file, or it is gone."""
        return not _with_lock(self._folder / name, lambda path: None)

    def sweep_candidates(self, now: float) -> list[str]:
        """Files that nobody wrote to for ``sweep_age``."""
        limit = now - self._settings.sweep_age.total_seconds()
        return [name for name, facts in self.files() if facts.st_mtime < limit]

    def sweep(self, names: list[str]) -> int:
        """Remove these files, none of which has a row; those that a worker still writes to stay. How many went."""
        return sum(_with_lock(self._folder / name, Path.unlink) for name in names)

    async def close(self) -> None:
        """Close the open segments."""
        self._close_segments()

    def _append(self, stored: StoredBody) -> BlobRef:
        sealed = stored.key.seal(stored.part, stored.plain)
        try:
            segment = self._segment(stored.key.epoch)
            self._disk.append(segment.descriptor, sealed)
        except OSError as error:
            self._close_segments()  # the tail may be torn; what was appended before it is as good as ever
            raise _not_stored(error) from error
        failpoints.reach("body-written")
        ref = BlobRef(segment.name, segment.position, len(sealed))
        segment.position += len(sealed)
        return ref

    def _open_segment(self, ref: BlobRef) -> _Segment:
        for segment in self._segments.values():
            if segment.name == ref.file:
                return segment
        raise BodyNotStored("a body could not be stored: its segment is no longer open")

    def _segment(self, epoch: str) -> _Segment:
        """The open one of this week, or a new one when there is none or it is full."""
        segment = self._segments.get(epoch)
        if segment is not None:
            if segment.position < self._settings.segment_size:
                return segment
            self._close_segment(epoch)
        segment = self._new_segment(epoch)
        while len(self._segments) > _OPEN_WEEKS:
            self._close_segment(min(self._segments))
        return segment

    def _week(self, epoch: str) -> Path:
        """A week's folder. Who made it may have been killed before its name was durable, so each process sees to it."""
        folder = self._folder / epoch
        if epoch not in self._weeks or not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            self._disk.sync_folder(self._folder)
            self._weeks.add(epoch)
        return folder

    def _new_segment(self, epoch: str) -> _Segment:
        folder = self._week(epoch)
        name = f"{epoch}/{self._worker}-{os.urandom(6).hex()}{SEGMENT}"
        path = self._folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Held until this process closes the file or dies: the sweeper leaves a locked file alone.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._disk.sync_folder(folder)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._segments[epoch] = _Segment(path, name, descriptor)
        return self._segments[epoch]

    def _close_segments(self) -> None:
        for epoch in list(self._segments):
            self._close_segment(epoch)

    def _close_segment(self, epoch: str) -> None:
        segment = self._segments.pop(epoch)
        os.close(segment.descriptor)
        if segment.position == 0:
            segment.path.unlink(missing_ok=True)

    def _keep_large(self, stored: StoredBody, temporary: Path) -> BlobRef:
        """In a thread: sync the file, give it its name, sync the folder."""
        name = f"{stored.key.epoch}/{stored.key.message_id}-{os.urandom(4).hex()}{_BODY}"
        try:
            folder = self._week(stored.key.epoch)
            descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                failpoints.reach("body-written")
                self._disk.sync(descriptor)
                length = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            os.rename(temporary, self._folder / name)
            self._disk.sync_folder(folder)
        except OSError as error:
            raise _not_stored(error) from error
        failpoints.reach("body-durable")
        return BlobRef(name, 0, length)


def _not_stored(error: OSError) -> BodyNotStored:
    log.error("body_not_stored", error=error.strerror)
    return BodyNotStored(f"a body could not be stored: {error.strerror}")


def _with_lock(path: Path, work: Callable[[Path], None]) -> bool:
    """Do ``work`` unless another process, or this one, has the file locked for writing; whether it was done."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        work(path)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True
