"""One SMS and what may become of it, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SmsResult(StrEnum):
    """ACCEPTED: the gateway took it. REFUSED: it won't take this one. UNREACHABLE: it can't be asked now."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Sms:
    """``number`` is E.164. ``reference`` is ours, for the gateway's own records; it is neither secret nor personal."""

    number: str = field(repr=False)
    text: str = field(repr=False)
    reference: str


class SmsSender(Protocol):
    """A way out for SMS. Never raises for what a gateway did, and never logs the number or the text."""

    async def send(self, sms: Sms) -> SmsResult: ...

    async def close(self) -> None: ...
