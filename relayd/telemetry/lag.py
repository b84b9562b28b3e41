"""How late an event loop comes to what is due: the one figure that says whether a process is keeping up.

A sampler asks the loop for a callback twenty times a second and notes how much later each came. While the loop stands
still the callbacks that fall due are all late, and each counts: so the histogram weighs time evenly, as a message that
comes at a random moment would feel it, and one stall of a second is twenty samples rather than one.

The histogram is memory that the process shares with its supervisor, which can therefore read it while the process is
stuck.
"""

from __future__ import annotations

import asyncio
import mmap
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

import structlog

from relayd.clock import Clock

#: Seconds between two samples.
PERIOD: Final = 0.05
#: Standing still this long gets a line in the log, in seconds.
LONG: Final = 0.25
#: The upper ends of the histogram's buckets, in milliseconds. One more bucket holds what is beyond the last.
BOUNDS: Final = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 250, 500, 1000, 2000, 5000, 10_000, 60_000)
#: A process that was stopped by hand, or a machine that slept, isn't counted for longer than this, in seconds.
_LONGEST: Final = 60.0

log = structlog.get_logger("relayd.loop")


class LagHistogram:
    """Counts of samples by lateness. Made before the fork, written by one process, read by any."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, (len(BOUNDS) + 1) * 8)).cast("Q")

    def clear(self) -> None:
        self._counts[:] = memoryview(bytes(self._counts.nbytes)).cast("Q")

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds * 1000)] += 1

    def counts(self) -> list[int]:
        """How many samples each bucket has, in the order of :data:`BOUNDS`."""
        return self._counts.tolist()


def quantile(counts: Sequence[int], share: float) -> int | None:
    """Within how many milliseconds this share of the samples came, rounded up to a bucket's end; beyond the last one
    that one's. None without samples. Share 1 asks for the longest."""
    total = sum(counts)
    if not total:
        return None
    seen = 0
    for bound, count in zip((*BOUNDS, BOUNDS[-1]), counts, strict=True):
        seen += count
        if seen >= share * total:
            return bound
    return BOUNDS[-1]


class LagSampler:
    """Samples ``loop`` into ``histogram`` while the context lasts. ``busy`` is the processor time of the loop's thread
    in seconds: a loop that stood still and wasn't busy waited for something else, such as a processor or a disk."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        histogram: LagHistogram,
        clock: Clock,
        busy: Callable[[], float] = time.thread_time,
    ) -> None:
        self._loop = loop
        self._histogram = histogram
        self._clock = clock
        self._busy = busy
        self._due = self._busy_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._histogram.clear()
        self._due = self._clock.boot() + PERIOD
        self._busy_before = self._busy()
        self._timer = self._loop.call_later(PERIOD, self._sample)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sample(self) -> None:
        now, busy = self._clock.boot(), self._busy()
        late = now - self._due
        if late > LONG:
            log.warning("loop_stood_still", seconds=round(late, 3), busy=round(busy - self._busy_before, 3))
        self._busy_before = busy
        self._due = max(self._due, now - _LONGEST)
        while self._due <= now:
            self._histogram.add(now - self._due)
            self._due += PERIOD
        self._timer = self._loop.call_later(self._due - now, self._sample)
