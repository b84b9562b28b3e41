"""What ``relayd doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK needs nothing; WARN soon will; BAD stops mail or breaks a promise."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``advice`` says what to do, "" when nothing."""

    subject: str
    level: Level
    text: str
    advice: str = ""
