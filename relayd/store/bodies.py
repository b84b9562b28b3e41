"""Makes bodies durable for the process that commits their rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from relayd import failpoints
from relayd.errors import BodyNotStored
from relayd.store.blobs import SEGMENT
from relayd.store.disk import Disk

log = structlog.get_logger("relayd.store")

#: Descriptors kept: more than there are workers on most machines. An error that the kernel meets while it writes back
#: on its own is told to whoever had the file open then.
_KEPT: Final = 16


class BodySync:
    """Syncs segment files that workers have appended to. One for each store."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._descriptors: dict[str, int] = {}
        #: Files whose sync has failed. The kernel tells of a failed write once and takes the pages for clean from then
        #: on: a second sync would succeed, and what was appended before the first one failed may be lost all the same.
        self._failed: set[str] = set()

    def sync(self, files: Iterable[str]) -> None:
        """Make what lies in these body files survive a power cut. Large bodies, in files of their own, do already.

        Raises BodyNotStored, for a file that it was raised for once then always.
        """
        for name in files:
            if name.endswith(SEGMENT):
                self._sync(name)

    def close(self) -> None:
        while self._descriptors:
            self._forget(next(iter(self._descriptors)))

    def _sync(self, name: str) -> None:
        if name in self._failed:
            raise BodyNotStored("a body could not be stored: its segment has failed before")
        try:
            self._disk.sync_data(self._descriptor(name))
        except OSError as error:
            self._failed.add(name)
            if name in self._descriptors:
                self._forget(name)
            log.error("body_not_stored", file=name, error=error.strerror)
            raise BodyNotStored(f"a body could not be stored: {error.strerror}") from error
        failpoints.reach("body-durable")

    def _descriptor(self, name: str) -> int:
        descriptor = self._descriptors.pop(name, None)
        if descriptor is None:
            if len(self._descriptors) >= _KEPT:
                self._forget(next(iter(self._descriptors)))
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors[name] = descriptor  # the last one used comes last
        return descriptor

    def _forget(self, name: str) -> None:
        os.close(self._descriptors.pop(name))
