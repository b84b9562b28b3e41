"""The rules of access codes, as pure functions on values: when an SMS goes out, when a try counts, when it ends.

Codes live at most 10 minutes from their first issue (NIST SP 800-63B-4 §3.1.3.2, ASVS 5.0 6.5.5), and inside that life
the *same* code is sent again: silently replacing a code while its SMS is on the way is what people trip over most.
Guessing: 5 tries per code, 30 wrong ones in a row per grant and then it is locked, which leaves a chance of 0.003 %.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

HOUR = 3600.0
DAY = 86400.0

COOLDOWN = 60.0
SENDS_PER_CODE = 3
CODES_PER_HOUR = 3
CODES_PER_DAY = 10
SENDS_PER_NUMBER_DAILY = 10
TRIES_PER_CODE = 5
FAILURES_BEFORE_LOCK = 30
#: Access codes of senders and passwords: so many wrong ones make a pause, in seconds, and so many in a row a lock.
SECRET_TRIES_BEFORE_PAUSE = 5
SECRET_PAUSE = 15 * 60.0
SECRET_TRIES = 20
#: So many codes run out without the right answer before the sender hears of it.
SPENT_CODES_BEFORE_ALERT = 3


class CodeLimits(msgspec.Struct, frozen=True):
    """The installation's own limits: ``lifetime`` of a code in seconds, SMS per organisation and day, SMS per hour
    for everyone together (the breaker against a run-away)."""

    lifetime: float
    organisation_daily: int
    total_hourly: int


class CodeState(msgspec.Struct, frozen=True):
    """What the rules need to know of the live code. There is at most one live code per grant."""

    issued_at: float
    sends: int
    last_sent_at: float


class Usage(msgspec.Struct, frozen=True):
    """What was used up so far, the current request not counted."""

    codes_last_hour: int
    codes_last_day: int
    number_last_day: int
    organisation_last_day: int
    total_last_hour: int


class Answer(StrEnum):
    """What comes of asking for a code.

    SEND: an SMS goes out now. COOLDOWN: the last one is less than a minute old. ENOUGH: this code was sent three times;
    it can still be entered. TOO_MANY: this link or number had its share of codes for now. BUDGET: the organisation's
    or the installation's SMS are used up. LOCKED: too many wrong codes. GONE: no such grant (any more).
    """

    SEND = "send"
    COOLDOWN = "cooldown"
    ENOUGH = "enough"
    TOO_MANY = "too_many"
    BUDGET = "budget"
    LOCKED = "locked"
    GONE = "gone"


def answer_request(live: CodeState | None, usage: Usage, limits: CodeLimits, now: float) -> Answer:
    """May an SMS go out now, for the live code or (when there is none) for a new one?"""
    if live is None:
        if usage.codes_last_hour >= CODES_PER_HOUR or usage.codes_last_day >= CODES_PER_DAY:
            return Answer.TOO_MANY
    elif live.sends >= SENDS_PER_CODE:
        return Answer.ENOUGH
    elif now < live.last_sent_at + COOLDOWN:
        return Answer.COOLDOWN
    if usage.number_last_day >= SENDS_PER_NUMBER_DAILY:
        return Answer.TOO_MANY
    if usage.organisation_last_day >= limits.organisation_daily or usage.total_last_hour >= limits.total_hourly:
        return Answer.BUDGET
    return Answer.SEND


def is_live(state: str, expires_at: float, tries: int, now: float) -> bool:
    """Can this code still be entered?"""
    return state == "open" and now < expires_at and tries < TRIES_PER_CODE
