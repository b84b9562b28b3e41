"""What relayd did to its files, in order and with the data: reads the log that tests/kit/preload/record.c writes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from tests.kit.preload import build

#: kind, process, time, inode, offset, lengths of two names and of the data; see ``struct entry``.
_HEAD = struct.Struct("=IIQQqIII4x")


class Kind(IntEnum):
    """The calls, as record.c numbers them. RESULT corrects an earlier entry and is never seen by who reads a log."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 3
    RENAME = 4
    LINK = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    SYNC_BEGUN = 9
    SYNC_DONE = 10
    RESULT = 11


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. ``at`` is by ``time.monotonic``.

    ``inode`` is the open file's; for SYNC_DONE the ``position`` of its SYNC_BEGUN. ``offset`` is where a WRITE goes,
    the length of a TRUNCATE, the flags of an OPEN. ``path`` and ``target`` are absolute.
    """

    kind: Kind
    at: float
    inode: int = 0
    offset: int = 0
    path: str = ""
    target: str = ""
    data: bytes = b""
    position: int = 0


class Recorder:
    """Records what a process and its children do below ``folder``. ``environment`` is for the process."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._log = log
        self._state = log.with_name(f"{log.name}.lock")
        self.environment = {
            "LD_PRELOAD": str(build("record")),
            "RELAYD_RECORD_UNDER": str(folder.resolve()),
            "RELAYD_RECORD_LOG": str(log),
        }

    def entries(self) -> list[Entry]:
        """All calls that did something, in their order; nobody may write any more."""
        end = int.from_bytes(self._state.read_bytes()[:8], "little")
        return read(self._log.read_bytes()[:end])


def read(log: bytes) -> list[Entry]:
    """The entries of a log. What failed is left out, what a call did in part is cut down to that."""
    found: dict[int, Entry] = {}
    position = 0
    while position < len(log):
        number, _, at, inode, offset, name, other, data = _HEAD.unpack_from(log, position)
        here, place = position, position + _HEAD.size
        position = place + name + other + data
        kind = Kind(number)
        if kind is not Kind.RESULT:
            path, target = log[place : place + name].decode(), log[place + name : place + name + other].decode()
            octets = log[place + name + other : position]
            found[here] = Entry(kind, at / 1e9, inode, offset, path, target, octets, here)
        elif offset > 0:
            found[inode] = replace(found[inode], data=found[inode].data[:offset])
        else:
            del found[inode]
    return list(found.values())
