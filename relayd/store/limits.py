"""Counters kept in one place per machine: in the store process, in memory.

They survive a worker's death; a restart of the store process forgets them.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Final

from relayd.clock import Clock

_TIDY_EVERY: Final = 4096
#: Takes closer together than this part of the window are counted as one, which bounds the memory of a key.
_GRAIN: Final = 1 / 1000


class Limits:
    """All counters. The methods are coroutines so that a StoreClient can stand in for it; none of them waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, tuple[float, dict[str, float]]] = {}
        self._taken: dict[str, tuple[float, deque[tuple[float, int]]]] = {}
        self._calls = 0

    async def count_unique(self, key: str, members: list[str], window: timedelta) -> int:
        """Add ``members`` to the set ``key`` and return its size; what is older than ``window`` is forgotten."""
        now, length = self._tick(), window.total_seconds()
        _, seen = self._members.get(key, (0.0, {}))
        fresh = {member: at for member, at in seen.items() if now - at < length}
        for member in members:
            fresh.setdefault(member, now)
        self._members[key] = (now + length, fresh)
        return len(fresh)

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        """Count ``amount`` under ``key``; False when that passes ``limit`` within ``window`` (nothing counted)."""
        now, length = self._tick(), window.total_seconds()
        _, taken = self._taken.get(key, (0.0, deque()))
        while taken and now - taken[0][0] >= length:
            taken.popleft()
        if sum(count for _, count in taken) + amount > limit:
            return False
        if amount:
            if taken and now - taken[-1][0] < length * _GRAIN:
                amount += taken.pop()[1]
            taken.append((now, amount))
            self._taken[key] = (now + length, taken)
        return True

    def _tick(self) -> float:
        now = self._clock.boot()
        self._calls += 1
        if self._calls % _TIDY_EVERY == 0:
            self._members = {key: value for key, value in self._members.items() if value[0] > now}
            self._taken = {key: value for key, value in self._taken.items() if value[0] > now}
        return now
