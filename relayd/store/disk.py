"""The file system calls that durability rests on, in one place so that a test can make them fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from relayd.clock import Clock
from relayd.errors import StoreFull, StoreUnavailable

_LOOK_EVERY: Final = 1.0


class Disk:
    """The real disk. Every method raises OSError when it can't do its work completely."""

    def append(self, descriptor: int, data: bytes | bytearray) -> None:
        """Write all of ``data`` at the descriptor's position."""
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.write(descriptor, view[done:])

    def sync_data(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in ``folder`` durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def free(self, folder: Path) -> int:
        """Octets that an ordinary user may still write."""
        facts = os.statvfs(folder)
        return facts.f_bavail * facts.f_frsize


class FreeSpace:
    """Says no while the disk has less free than ``minimum``. Looks at most once a second."""

    def __init__(self, folder: Path, minimum: int, clock: Clock, disk: Disk) -> None:
        self._folder = folder
        self._minimum = minimum
        self._clock = clock
        self._disk = disk
        self._looked_at = float("-inf")
        self._enough = True

    def require(self) -> None:
        """Raise StoreFull when space is short."""
        now = self._clock.boot()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            try:
                self._enough = self._disk.free(self._folder) >= self._minimum
            except OSError as error:
                self._looked_at = float("-inf")
                raise StoreUnavailable(f"the disk can't be asked for its free space: {error.strerror}") from error
        if not self._enough:
            raise StoreFull("the disk has less free space than store.minimum_free")
