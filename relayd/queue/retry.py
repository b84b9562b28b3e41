"""When a delivery is tried again, when it is given up, and when its sender is told of the delay.

Pure: values in, values out. Everything is reckoned from the moment of receipt and the configuration of this moment, so
that a changed ``lifetime`` counts at once for what is already waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

#: How much of a wait is left to chance, so that what failed together isn't tried together.
JITTER: Final = 0.1


def expired(received_at: float, now: float, lifetime: timedelta) -> bool:
    """Whether a delivery that failed just now is given up. Age alone counts, never the number of attempts."""
    return now >= received_at + lifetime.total_seconds()


def next_attempt(
    received_at: float,
    attempts: int,
    now: float,
    schedule: Sequence[timedelta],
    lifetime: timedelta,
    random: Callable[[], float],
) -> float | None:
    """When to try again after ``attempts`` tries, the last of them just now; None when it is given up.

    The last wait of the schedule repeats. The final attempt falls at the end of the lifetime, not a wait beyond it.
    ``random`` returns a number in [0, 1).
    """
    if expired(received_at, now, lifetime):
        return None
    wait = schedule[min(max(attempts, 1), len(schedule)) - 1].total_seconds()
    wait *= 1 + JITTER * (2 * random() - 1)
    end = received_at + lifetime.total_seconds()
    return min(now + wait, end)


def delay_notice_due(received_at: float, now: float, told: bool, delay_notice: timedelta) -> bool:
    """Whether the sender is to be told, once, that the message is still on its way."""
    return not told and now - received_at >= delay_notice.total_seconds()
