"""How many sessions there are, in all and from each peer, counted over all workers without asking anyone.

The counters are memory that the workers share. Each worker writes its own row and reads all of them, so no lock is
needed: of two that pass a limit at the same moment at least one sees it. A worker that died leaves its row behind; the
next one in its seat clears it.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Final

#: Each peer has a counter in two tables of this many, by two digests under a key of our own, and the lower of the two
#: counts. Peers that share one only ever share the higher.
_SLOTS: Final = 4096
_ROW: Final = 1 + 2 * _SLOTS
#: One customer of a network gets an IPv6 /64 at least.
_IPV6_PREFIX: Final = 8


class Connections:
    """The rows of all workers. Made before they are forked."""

    def __init__(self, workers: int) -> None:
        self._rows = memoryview(mmap.mmap(-1, workers * _ROW * 4)).cast("I")
        self._starts = range(0, workers * _ROW, _ROW)
        self._key = os.urandom(16)
        #: Those that a session of this peer counts in: all, and the peer's two.
        self.counters = lru_cache(4096)(self._counters)

    def seat(self, worker: int) -> Seat:
        """The row of this worker, which begins without sessions."""
        start = self._starts[worker]
        self._rows[start : start + _ROW] = memoryview(bytes(_ROW * 4)).cast("I")
        return Seat(self, start)

    def sessions(self) -> list[int]:
        """How many sessions each worker has."""
        rows = self._rows
        return [rows[start] for start in self._starts]

    def count(self, counter: int) -> int:
        """The sum of one counter over all workers."""
        rows = self._rows
        return sum([rows[start + counter] for start in self._starts])

    def add(self, start: int, counters: tuple[int, ...], change: int) -> None:
        """Change counters of the row that begins at ``start``."""
        for counter in counters:
            self._rows[start + counter] += change

    def _counters(self, peer: IPv4Address | IPv6Address) -> tuple[int, int, int]:
        network = peer.packed if peer.version == 4 else peer.packed[:_IPV6_PREFIX]
        digest = int.from_bytes(blake2b(network, digest_size=4, key=self._key).digest(), "big")
        return 0, 1 + digest % _SLOTS, 1 + _SLOTS + (digest >> 16) % _SLOTS


@dataclass(frozen=True, slots=True)
class Seat:
    """One worker's row."""

    _connections: Connections
    _start: int

    def enter(self, peer: IPv4Address | IPv6Address, *, most: int, most_per_peer: int) -> bool:
        """Count one more session; False, and nothing counted, when that is more than ``most`` in all or
        ``most_per_peer`` from this IPv4 address or IPv6 /64."""
        connections = self._connections
        counters = connections.counters(peer)
        connections.add(self._start, counters, 1)
        total, *of_peer = map(connections.count, counters)
        if total <= most and min(of_peer) <= most_per_peer:
            return True
        connections.add(self._start, counters, -1)
        return False

    def crowded(self) -> bool:
        """Whether another worker has fewer sessions, by two or more."""
        sessions = self._connections.sessions()
        return sessions[self._start // _ROW] > min(sessions) + 1

    def leave(self, peer: IPv4Address | IPv6Address) -> None:
        """One session less. Only after ``enter`` said True for this peer."""
        self._connections.add(self._start, self._connections.counters(peer), -1)
