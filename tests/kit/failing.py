"""File calls that fail, and a wall clock that jumps, in a running process: what tests/kit/preload/*.c do when told.

Both read a small file that every process of the daemon has mapped, so a test hurts it and heals it without a restart.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from enum import IntFlag
from pathlib import Path
from typing import Final

from tests.kit import preload

_RULE: Final = struct.Struct("=IIiIII256s")
_ARMED: Final = struct.Struct("=I")
_HITS: Final = struct.Struct("=I")
_HITS_AT: Final = 20
_OFFSET: Final = struct.Struct("=q")


class Call(IntFlag):
    """Which calls fail; fsync and fdatasync are one."""

    OPEN = 1
    READ = 2
    WRITE = 4
    SYNC = 8
    TRUNCATE = 16
    RENAME = 32
    LINK = 64
    MKDIR = 128
    UNLINK = 256
    STATVFS = 512
    ACCEPT = 1024


class Machine:
    """The files and the clock of a daemon that runs with :attr:`environment`."""

    def __init__(self, folder: Path) -> None:
        self._rule = _mapped(folder / "failing", _RULE.size)
        self._offset = _mapped(folder / "clock-offset", _OFFSET.size)
        self.environment = {
            "LD_PRELOAD": f"{preload.build('fail')}:{preload.build('clock')}",
            "RELAYD_TEST_FAIL": str(folder / "failing"),
            "RELAYD_TEST_CLOCK": str(folder / "clock-offset"),
        }

    @property
    def hits(self) -> int:
        """How many calls have failed since ``failing`` began."""
        hits: int = _HITS.unpack_from(self._rule, _HITS_AT)[0]
        return hits

    @contextlib.contextmanager
    def failing(
        self, calls: Call, pattern: str, error: int = errno.EIO, *, torn: bool = False, writing: bool = False
    ) -> Iterator[None]:
        """While this lasts ``calls`` on paths that match ``pattern`` fail. ``torn``: a write first puts half of its
        octets down. ``writing``: of opens only those that may write."""
        rule = _RULE.pack(0, calls, error, torn, writing, 0, os.fsencode(pattern))
        self._rule[: _RULE.size] = rule
        _ARMED.pack_into(self._rule, 0, 1)
        try:
            yield
        finally:
            _ARMED.pack_into(self._rule, 0, 0)

    def jump(self, seconds: int) -> None:
        """Set the wall clock this far from where it stands now."""
        _OFFSET.pack_into(self._offset, 0, _OFFSET.unpack_from(self._offset)[0] + seconds)


def _mapped(path: Path, size: int) -> mmap.mmap:
    path.write_bytes(bytes(size))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size)
