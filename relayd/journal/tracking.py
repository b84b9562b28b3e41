"""How far a message has come with one recipient, read from the journal. Pure: events in, states out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from relayd.journal import kinds
from relayd.journal.event import Event


class Step(StrEnum):
    """What can be said of a recipient who reads in the Viewer. VISITED never counts as read: scanners visit too."""

    STORED = "stored"
    NOTIFIED = "notified"
    NOTIFICATION_FAILED = "notification failed"
    VISITED = "visited"
    CODE_SENT = "code sent"
    CODE_DELIVERED = "code delivered"
    CODE_LOST = "code lost"
    NUMBER_DISPUTED = "number disputed"
    LOCKED = "locked"
    OPENED = "opened"
    DOWNLOADED = "downloaded"
    REPLIED = "replied"
    PASSED_ON = "passed on"
    REMINDED = "reminded"
    REVOKED = "revoked"
    EXPIRED = "expired"


_STEPS: Final = {
    kinds.DELIVERED: Step.STORED,
    kinds.NOTIFIED: Step.NOTIFIED,
    kinds.NOTIFICATION_FAILED: Step.NOTIFICATION_FAILED,
    kinds.LINK_VISITED: Step.VISITED,
    kinds.CODE_SENT: Step.CODE_SENT,
    kinds.CODE_DELIVERED: Step.CODE_DELIVERED,
    kinds.CODE_LOST: Step.CODE_LOST,
    kinds.CODE_FAILED: Step.CODE_LOST,
    kinds.NUMBER_DISPUTED: Step.NUMBER_DISPUTED,
    kinds.LOCKED: Step.LOCKED,
    kinds.OPENED: Step.OPENED,
    kinds.DOWNLOADED: Step.DOWNLOADED,
    kinds.REPLIED: Step.REPLIED,
    kinds.PASSED_ON: Step.PASSED_ON,
    kinds.REMINDED: Step.REMINDED,
    kinds.REVOKED: Step.REVOKED,
}
#: What undoes a step.
_UNDONE: Final = {
    kinds.RESTORED: Step.REVOKED,
    kinds.UNLOCKED: Step.LOCKED,
    kinds.NUMBER_CORRECTED: Step.NUMBER_DISPUTED,
    kinds.NOTIFIED: Step.NOTIFICATION_FAILED,
}


class Passed(msgspec.Struct, frozen=True):
    """A step, when it was last taken, and how often."""

    step: Step
    at: float
    times: int


def steps_of(events: Iterable[Event], recipients: Iterable[str], expires_at: float, now: float) -> list[Passed]:
    """The steps of one reader in the order of their last time. ``recipients`` are the addresses under which the journal
    knows him."""
    known = frozenset(recipients)
    found: dict[Step, Passed] = {}
    for event in events:
        if event.recipient not in known:
            continue
        if undone := _UNDONE.get(event.kind):
            found.pop(undone, None)
        if step := _STEPS.get(event.kind):
            before = found.pop(step, None)
            found[step] = Passed(step, event.at, before.times + 1 if before else 1)
    if now >= expires_at:
        found[Step.EXPIRED] = Passed(Step.EXPIRED, expires_at, 1)
    return sorted(found.values(), key=lambda passed: passed.at)
