"""One SMS and what may become of it, as values; and what a way out for SMS is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SmsResult(StrEnum):
    """ACCEPTED: the gateway took it. REFUSED: it won't take this one. UNREACHABLE: it surely didn't take it, and can't
    be asked now. UNCERTAIN: it was given it and no answer came, so it may go out."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Sms:
    """``number`` is E.164. ``reference`` is ours, for the gateway's own records; it is neither secret nor personal.
    ``id`` names this one message to the gateway, which names it again in its receipt. ``code_id`` is the store's name
    for the access code in it."""

    number: str = field(repr=False)
    text: str = field(repr=False)
    reference: str
    id: str = ""
    code_id: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of it. ``gateway`` is the one that answered last; ``id`` is what its receipt will name it by, "" when
    there will be none."""

    result: SmsResult
    gateway: str = ""
    id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a gateway says later of a message that it took: it reached the phone, or it never will."""

    id: str = field(repr=False)
    arrived: bool


class SmsSender(Protocol):
    """A way out for SMS. Never raises for what a gateway did, and never logs the number or the text."""

    async def open(self) -> None:
        """Begin what has to be kept up between messages. Doesn't wait for it."""
        ...

    async def send(self, sms: Sms) -> Sent: ...

    async def close(self) -> None: ...


class Ledger(Protocol):
    """What is known of SMS across all processes. Both raise StoreUnavailable."""

    async def take(self, sms: Sms, gateway: str, daily: int) -> bool:
        """This gateway is about to get it; False when its ``daily`` messages (0: no limit) are used up."""
        ...

    async def heard(self, gateway: str, receipt: Receipt) -> None:
        """A receipt came; the same one again changes nothing."""
        ...
