"""Operations on access codes: each is one atomic step, so that requests sent at once can't gain anything."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from relayd.errors import Conflict
from relayd.journal import kinds
from relayd.store.access_codes import (
    DAY,
    FAILURES_BEFORE_LOCK,
    HOUR,
    SPENT_CODES_BEFORE_ALERT,
    TRIES_PER_CODE,
    Answer,
    CodeLimits,
    CodeState,
    Usage,
    answer_request,
    is_live,
)
from relayd.store.operation import reads, writes
from relayd.store.viewer_sms import SmsState
from relayd.store.viewer_tables import Due, Grant, change_cookie, due, grant_where, journal, row_of

#: Browsers that may hold one grant's code at the same time; the longest bound gives way.
BROWSERS_PER_GRANT: Final = 20
#: No session outlives this (ASVS 5.0 7.3.2).
SESSION_LIFE: Final = 8 * HOUR


class Requested(msgspec.Struct, frozen=True):
    """The answer to asking for a code. ``sealed`` and ``reference`` are of the code to send, when it is SEND."""

    answer: Answer
    code_id: str = ""
    sealed: bytes = b""
    reference: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The code that a browser is bound to, and how it stands. ``sealed`` is None when it can't be entered any more.
    ``sms`` is what is known of the newest SMS with it."""

    code_id: str
    sealed: bytes | None
    reference: str
    expires_at: float
    tries_left: int
    sends: int
    last_sent_at: float
    sms_failed: bool
    sms: SmsState


@writes
def viewer_request_code(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    mobile: bytes | None,
    browser: bytes,
    code_id: str,
    sealed: bytes,
    reference: str,
    number_key: bytes,
    region: str,
    limits: CodeLimits,
) -> Requested:
    """Bind this browser to the live code, and say whether an SMS goes out now. The offered ``code_id``, ``sealed``
    and ``reference`` become the live code only when there is none. Asking twice sends once.

    ``mobile`` is the grant's sealed number, None for a code by e-mail. Raises Conflict when the sender has corrected it
    since.
    """
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now):
        return Requested(Answer.GONE)
    if grant.mobile != mobile:
        raise Conflict("the number was corrected")
    if grant.locked:
        return Requested(Answer.LOCKED)
    live = _live_code(db, now, grant_id)
    state = CodeState(live["issued_at"], live["sends"], live["last_sent_at"]) if live else None
    answer = answer_request(state, _usage(db, now, grant, number_key), limits, now)
    if answer is Answer.SEND and live is None:
        db.execute(
            "INSERT INTO viewer_code (id, grant_id, state, sealed, reference, issued_at, expires_at, last_sent_at)"
            " VALUES (?, ?, 'open', ?, ?, ?, ?, ?)",
            (code_id, grant_id, sealed, reference, now, now + limits.lifetime, now),
        )
        live = _live_code(db, now, grant_id)
    if live is None:
        return Requested(answer)
    _bind(db, now, browser, grant_id, live["id"])
    if answer is not Answer.SEND:
        return Requested(answer, live["id"])
    db.execute(
        "UPDATE viewer_code SET sends = sends + 1, last_sent_at = ?, sms_failed = 0 WHERE id = ?", (now, live["id"])
    )
    db.execute(
        "INSERT INTO viewer_sms (at, code_id, organisation, number_key, region) VALUES (?, ?, ?, ?, ?)",
        (now, live["id"], grant.organisation, number_key, region),
    )
    return Requested(answer, live["id"], live["sealed"], live["reference"])


@reads
def viewer_waiting(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> Waiting | None:
    """The code this browser asked for; None when it never did."""
    row = row_of(
        db,
        "SELECT c.*, (SELECT s.state FROM viewer_sms s WHERE s.code_id = c.id ORDER BY s.id DESC LIMIT 1) AS sms"
        " FROM viewer_browser b JOIN viewer_code c ON c.id = b.code_id WHERE b.browser = ? AND b.grant_id = ?",
        (browser, grant_id),
    )
    if row is None:
        return None
    live = is_live(row["state"], row["expires_at"], row["tries"], now)
    return Waiting(
        code_id=row["id"],
        sealed=row["sealed"] if live else None,
        reference=row["reference"],
        expires_at=row["expires_at"],
        tries_left=TRIES_PER_CODE - row["tries"] if live else 0,
        sends=row["sends"],
        last_sent_at=row["last_sent_at"],
        sms_failed=bool(row["sms_failed"]),
        sms=SmsState(row["sms"] or SmsState.OPEN),
    )


@writes
def viewer_enter_code(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    browser: bytes,
    code_id: str,
    correct: bool,
    new_browser: bytes,
) -> bool:
    """Count one try and, when it is right, use the code up and begin the session under a fresh cookie.

    The comparison was made outside, but only this transaction decides: of two right codes sent at once exactly one
    wins, and a sixth try loses even when it is right.
    """
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now) or grant.locked:
        return False
    counted = db.execute(
        "UPDATE viewer_code SET tries = tries + 1 WHERE id = ? AND grant_id = ? AND state = 'open' AND expires_at > ?"
        " AND tries < ? AND EXISTS (SELECT 1 FROM viewer_browser b WHERE b.browser = ? AND b.grant_id = ?"
        " AND b.code_id = viewer_code.id)",
        (code_id, grant_id, now, TRIES_PER_CODE, browser, grant_id),
    )
    if not counted.rowcount:
        return False
    if not correct:
        _wrong(db, now, grant, code_id)
        return False
    db.execute("UPDATE viewer_code SET state = 'used', sealed = NULL WHERE id = ?", (code_id,))
    db.execute("UPDATE viewer_grant SET failures = 0, spent_codes = 0 WHERE id = ?", (grant_id,))
    begin_session(db, now, grant_id, browser, new_browser)
    journal(db, now, grant_id, kinds.VERIFIED, {"channel": grant.channel.value})
    return True


def _live_code(db: sqlite3.Connection, now: float, grant_id: str) -> dict[str, Any] | None:
    return row_of(
        db,
        "SELECT * FROM viewer_code WHERE grant_id = ? AND state = 'open' AND expires_at > ? AND tries < ?"
        " ORDER BY issued_at DESC LIMIT 1",
        (grant_id, now, TRIES_PER_CODE),
    )


def _usage(db: sqlite3.Connection, now: float, grant: Grant, number_key: bytes) -> Usage:
    def count(query: str, *arguments: Any) -> int:
        return int(db.execute(query, arguments).fetchone()[0])

    codes = "SELECT count(*) FROM viewer_code WHERE grant_id = ? AND issued_at > ?"
    return Usage(
        codes_last_hour=count(codes, grant.id, now - HOUR),
        codes_last_day=count(codes, grant.id, now - DAY),
        number_last_day=count("SELECT count(*) FROM viewer_sms WHERE number_key = ? AND at > ?", number_key, now - DAY),
        organisation_last_day=count(
            "SELECT count(*) FROM viewer_sms WHERE organisation = ? AND at > ?", grant.organisation, now - DAY
        ),
        total_last_hour=count("SELECT count(*) FROM viewer_sms WHERE at > ?", now - HOUR),
    )


def _bind(db: sqlite3.Connection, now: float, browser: bytes, grant_id: str, code_id: str) -> None:
    db.execute(
        "INSERT INTO viewer_browser (browser, grant_id, code_id, bound_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (browser, grant_id) DO UPDATE SET code_id = excluded.code_id, bound_at = excluded.bound_at",
        (browser, grant_id, code_id, now),
    )
    db.execute(
        "DELETE FROM viewer_browser WHERE grant_id = ? AND browser <> ? AND browser NOT IN"
        " (SELECT browser FROM viewer_browser WHERE grant_id = ? AND browser <> ? ORDER BY bound_at DESC LIMIT ?)",
        (grant_id, browser, grant_id, browser, BROWSERS_PER_GRANT - 1),
    )


def _wrong(db: sqlite3.Connection, now: float, grant: Grant, code_id: str) -> None:
    """One wrong try more: spend the code at its fifth, lock the grant at the thirtieth in a row, tell the sender."""
    db.execute("UPDATE viewer_grant SET failures = failures + 1 WHERE id = ?", (grant.id,))
    spent = db.execute(
        "UPDATE viewer_code SET state = 'spent', sealed = NULL WHERE id = ? AND tries >= ?", (code_id, TRIES_PER_CODE)
    ).rowcount
    journal(db, now, grant.id, kinds.WRONG_CODE)
    if spent:
        (so_far,) = db.execute(
            "UPDATE viewer_grant SET spent_codes = spent_codes + 1 WHERE id = ? RETURNING spent_codes", (grant.id,)
        ).fetchone()
        if so_far == SPENT_CODES_BEFORE_ALERT:
            due(db, now, grant.id, Due.WRONG_CODES)
    if grant.failures + 1 >= FAILURES_BEFORE_LOCK:
        db.execute("DELETE FROM viewer_due WHERE grant_id = ? AND kind = ?", (grant.id, Due.WRONG_CODES))
        due(db, now, grant.id, Due.LOCKED)
        db.execute("UPDATE viewer_code SET state = 'spent', sealed = NULL WHERE grant_id = ?", (grant.id,))
        journal(db, now, grant.id, kinds.LOCKED)


def begin_session(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, new_browser: bytes, key: bytes | None = None
) -> None:
    """Under a fresh cookie; ``key`` is the message's, sealed for that."""
    db.execute("DELETE FROM viewer_browser WHERE browser = ? AND grant_id = ?", (browser, grant_id))
    db.execute("DELETE FROM viewer_session WHERE browser = ? AND grant_id = ?", (browser, grant_id))
    change_cookie(db, browser, new_browser)
    db.execute(
        "INSERT INTO viewer_session (browser, grant_id, seen_at, expires_at, key) VALUES (?, ?, ?, ?, ?)",
        (new_browser, grant_id, now, now + SESSION_LIFE, key),
    )
