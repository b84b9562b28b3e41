"""Times as people say and read them."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(text: str) -> float:
    """Seconds of "90s", "20m", "2h" or "3d"."""
    match = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError("expected a duration such as 90s, 20m, 2h or 3d")
    return float(int(match[1]) * _UNITS[match[2]])


def moment(text: str) -> float:
    """Unix time of "2026-11-23" or "2026-11-23T14:30", local time unless it says otherwise."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError("expected a date such as 2026-11-23 or 2026-11-23T14:30") from None


def iso(unix: float) -> str:
    """For machines: UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(unix: float) -> str:
    """For people: local time, to the second."""
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """How long, in its two largest units: "2h 5min"."""
    left, words = round(abs(seconds)), list[str]()
    for size, unit in _STEPS:
        if left >= size and len(words) < 2:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words) or "0s"


def relative(unix: float, now: float) -> str:
    """When, seen from now: "in 5min", "3h ago", "now"."""
    if abs(unix - now) < 1:
        return "now"
    return f"in {span(unix - now)}" if unix > now else f"{span(now - unix)} ago"
