"""What a group of processes uses: CPU time and memory, read from /proc."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and all its descendants. (The kernel's own list of children may leave some out while others end.)"""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its descendants, and those of them that ended and were waited for."""
    ticks = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Octets that a process and its descendants take: the proportional set size of each, in which pages that several
    of them share count once, and the anonymous files (memfd_create(2)) that they hold, mapped or not."""
    members = family(pid)
    files: dict[int, int] = {}
    for each in members:
        files |= _anonymous_files(each)
    return sum(memory_of(each) for each in members) + sum(files.values())


def memory_of(pid: int) -> int:
    """One process's proportional set size in octets, without mapped anonymous files and other shared memory.

    Of processes that may not be dumped only root learns it; others get the resident size, where shared pages count in
    each of them.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        try:
            rollup = f"/proc/{pid}/smaps_rollup"
            return _kilobytes(rollup, "Pss:") - _kilobytes(rollup, "Pss_Shmem:")
        except PermissionError:
            return _kilobytes(f"/proc/{pid}/status", "VmRSS:")
    return 0


def _anonymous_files(pid: int) -> dict[int, int]:
    """The anonymous files that a process has open: their size in memory by inode."""
    files = {}
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith("/memfd:"):
                    facts = path.stat()
                    files[facts.st_ino] = facts.st_blocks * 512
    return files


def _kilobytes(path: str, key: str) -> int:
    """The figure of a line such as ``Pss:  12 kB``, in octets."""
    return sum(int(line.split()[1]) * 1024 for line in Path(path).read_text().splitlines() if line.startswith(key))


class Peak:
    """The highest :func:`memory` seen while the context lasts."""

    def __init__(self, pid: int, every: float = 0.5) -> None:
        self.value = 0
        self._pid = pid
        self._every = every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.value = max(self.value, memory(self._pid))

    def _watch(self) -> None:
        while not self._end.wait(self._every):
            self.value = max(self.value, memory(self._pid))
