"""Time as an injected dependency: nothing else in relayd reads a clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """``now`` is wall time in unix seconds; ``boot`` is seconds since boot and counts through suspend."""

    def now(self) -> float: ...

    def boot(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
