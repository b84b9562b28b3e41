"""One record of the journal."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One journal record. ``kind`` is a word of ``docs/journal.md``; ``facts`` hold no content, subject, file name,
    number or code. ``recipient`` is "" when it is about the whole message."""

    at: float
    kind: str
    recipient: str = ""
    facts: dict[str, Any] = {}
