"""The Viewer's rows: grants, codes, browsers, sessions, sent SMS. Each operation is one atomic step.

A *grant* lets one recipient read one message. A *code* is one access code of a grant. A *browser* is the SHA-256 of
the cookie of one browser: first bound to the code it asked for, later the holder of a session. Nothing here can be
read back into a link, a cookie, a code or a number: tokens are hashes, codes and numbers are sealed, and the key under
which numbers are counted is itself sealed.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from relayd.journal import viewer as kinds
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
from relayd.store.records import Event
from relayd.store.rows import append_events

#: Browsers that may hold one grant's code at the same time; the longest bound gives way.
BROWSERS_PER_GRANT = 20
#: An expired grant is remembered this long without its recipient, so that an old link says "expired".
TOMBSTONE = 365 * DAY
#: A session without a request ends after this, and any session after SESSION_LIFE (ASVS 5.0 7.3).
SESSION_IDLE = 20 * 60.0
SESSION_LIFE = 8 * HOUR
#: A visit within this time of the one before isn't journalled again.
VISIT_PAUSE = HOUR
#: Fewer right codes than this share of the SMS to one country, over an hour of at least so many, looks like fraud.
PUMPING_SENDS = 20
PUMPING_SHARE = 0.3

SCHEMA = """
CREATE TABLE IF NOT EXISTS viewer_grant (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    message_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    recipient TEXT NOT NULL,
    copy INTEGER NOT NULL,
    language TEXT NOT NULL,
    mobile BLOB,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    revoked_at REAL,
    failures INTEGER NOT NULL DEFAULT 0,
    spent_codes INTEGER NOT NULL DEFAULT 0,
    alert TEXT NOT NULL DEFAULT '',
    visited_at REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_grant_message ON viewer_grant (message_id);
CREATE INDEX IF NOT EXISTS viewer_grant_expiry ON viewer_grant (expires_at);
CREATE INDEX IF NOT EXISTS viewer_grant_alert ON viewer_grant (alert) WHERE alert <> '';

CREATE TABLE IF NOT EXISTS viewer_code (
    id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    state TEXT NOT NULL,
    sealed BLOB,
    reference TEXT NOT NULL,
    issued_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    sends INTEGER NOT NULL DEFAULT 0,
    last_sent_at REAL NOT NULL,
    sms_failed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_code_grant ON viewer_code (grant_id, issued_at);

CREATE TABLE IF NOT EXISTS viewer_browser (
    browser BLOB NOT NULL,
    grant_id TEXT NOT NULL,
    code_id TEXT NOT NULL,
    bound_at REAL NOT NULL,
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_browser_grant ON viewer_browser (grant_id, bound_at);

CREATE TABLE IF NOT EXISTS viewer_session (
    browser BLOB NOT NULL,
    grant_id TEXT NOT NULL,
    seen_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    opened INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS viewer_sms (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    code_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    number_key BLOB NOT NULL,
    region TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS viewer_sms_number ON viewer_sms (number_key, at);
CREATE INDEX IF NOT EXISTS viewer_sms_organisation ON viewer_sms (organisation, at);
CREATE INDEX IF NOT EXISTS viewer_sms_at ON viewer_sms (at);

CREATE TABLE IF NOT EXISTS viewer_secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient's right to read one message. ``mobile`` is sealed under the message's key, part "grant:<id>"."""

    id: str
    message_id: str
    organisation: str
    recipient: str
    copy: int
    language: str
    mobile: bytes | None
    created_at: float
    expires_at: float
    revoked_at: float | None
    failures: int
    alert: str

    def ended(self, now: float) -> bool:
        return self.revoked_at is not None or now >= self.expires_at

    @property
    def locked(self) -> bool:
        return self.failures >= FAILURES_BEFORE_LOCK


class Requested(msgspec.Struct, frozen=True):
    """The answer to asking for a code. ``sealed`` and ``reference`` are of the code to send, when it is SEND."""

    answer: Answer
    code_id: str = ""
    sealed: bytes = b""
    reference: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The code that a browser is bound to, and how it stands. ``sealed`` is None when it can't be entered any more."""

    code_id: str
    sealed: bytes | None
    reference: str
    expires_at: float
    tries_left: int
    sends: int
    last_sent_at: float
    sms_failed: bool


class Session(msgspec.Struct, frozen=True):
    """A browser that gave the right code for this grant."""

    grant: Grant
    seen_at: float
    opened: bool


class Pumping(msgspec.Struct, frozen=True):
    """Many SMS to one country and few right codes: what fraud with paid numbers looks like."""

    region: str
    sends: int
    used: int


_GRANT = "id, message_id, organisation, recipient, copy, language, mobile, created_at, expires_at, revoked_at, failures, alert"


@writes
def viewer_grant_create(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    token_hash: bytes,
    message_id: str,
    organisation: str,
    recipient: str,
    copy: int,
    language: str,
    mobile: bytes,
    expires_at: float,
) -> None:
    """Runs in the settlement that stores the message for this recipient: no grant without, no notification without."""
    db.execute(
        "INSERT INTO viewer_grant (id, token_hash, message_id, organisation, recipient, copy, language, mobile,"
        " created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (grant_id, token_hash, message_id, organisation, recipient, copy, language, mobile, now, expires_at),
    )


@reads
def viewer_grant_by_token(db: sqlite3.Connection, now: float, token_hash: bytes) -> Grant | None:
    return _grant(db, "token_hash = ?", token_hash)


@reads
def viewer_grant(db: sqlite3.Connection, now: float, grant_id: str) -> Grant | None:
    return _grant(db, "id = ?", grant_id)


@writes
def viewer_visited(db: sqlite3.Connection, now: float, grant_id: str) -> None:
    """The link was opened, by a person or by a scanner: it never counts as read."""
    visited = db.execute(
        "UPDATE viewer_grant SET visited_at = ? WHERE id = ? AND visited_at <= ? AND revoked_at IS NULL AND expires_at > ?",
        (now, grant_id, now - VISIT_PAUSE, now),
    )
    if visited.rowcount:
        _journal(db, now, grant_id, kinds.VISITED)


@writes
def viewer_request_code(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    browser: bytes,
    code_id: str,
    sealed: bytes,
    reference: str,
    number_key: bytes,
    region: str,
    limits: CodeLimits,
) -> Requested:
    """Bind this browser to the live code, and say whether an SMS goes out now. The offered ``code_id``, ``sealed``
    and ``reference`` become the live code only when there is none. Asking twice sends once."""
    grant = _grant(db, "id = ?", grant_id)
    if grant is None or grant.ended(now):
        return Requested(Answer.GONE)
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


@writes
def viewer_sms_result(db: sqlite3.Connection, now: float, grant_id: str, code_id: str, result: str) -> None:
    """What the gateway said. A failed one keeps its place in the caps: it may have gone out after all."""
    accepted = result == "accepted"
    if not accepted:
        db.execute("UPDATE viewer_code SET sms_failed = 1 WHERE id = ?", (code_id,))
    kind = kinds.CODE_SENT if accepted else kinds.CODE_NOT_SENT
    _journal(db, now, grant_id, kind, {"channel": "sms", "result": result})


@reads
def viewer_waiting(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> Waiting | None:
    """The code this browser asked for; None when it never did."""
    row = _row(
        db,
        "SELECT c.* FROM viewer_browser b JOIN viewer_code c ON c.id = b.code_id WHERE b.browser = ? AND b.grant_id = ?",
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
    grant = _grant(db, "id = ?", grant_id)
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
    _begin_session(db, now, grant_id, browser, new_browser)
    _journal(db, now, grant_id, kinds.VERIFIED, {"channel": "sms"})
    return True


@reads
def viewer_session(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> Session | None:
    """The running session of this browser for this grant."""
    row = _row(
        db,
        "SELECT seen_at, opened FROM viewer_session WHERE browser = ? AND grant_id = ? AND expires_at > ? AND seen_at > ?",
        (browser, grant_id, now, now - SESSION_IDLE),
    )
    grant = _grant(db, "id = ?", grant_id) if row else None
    if row is None or grant is None or grant.ended(now):
        return None
    return Session(grant, row["seen_at"], bool(row["opened"]))


@writes
def viewer_session_seen(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> None:
    """The person is still there."""
    db.execute(
        "UPDATE viewer_session SET seen_at = ? WHERE browser = ? AND grant_id = ? AND expires_at > ? AND seen_at > ?",
        (now, browser, grant_id, now, now - SESSION_IDLE),
    )


@writes
def viewer_opened(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> None:
    """The message was shown in this session; journalled once per session."""
    opened = db.execute(
        "UPDATE viewer_session SET opened = 1 WHERE browser = ? AND grant_id = ? AND opened = 0", (browser, grant_id)
    )
    if opened.rowcount:
        _journal(db, now, grant_id, kinds.OPENED)


@writes
def viewer_downloaded(db: sqlite3.Connection, now: float, grant_id: str, part: str) -> None:
    """``part`` is the MIME part's path, or "message" for the whole."""
    _journal(db, now, grant_id, kinds.DOWNLOADED, {"part": part})


@writes
def viewer_logout(db: sqlite3.Connection, now: float, browser: bytes) -> None:
    """End all that this browser holds."""
    db.execute("DELETE FROM viewer_session WHERE browser = ?", (browser,))
    db.execute("DELETE FROM viewer_browser WHERE browser = ?", (browser,))


@reads
def viewer_alerts(db: sqlite3.Connection, now: float) -> list[Grant]:
    """Grants whose sender must still be told of wrong codes."""
    rows = db.execute(f"SELECT {_GRANT} FROM viewer_grant WHERE alert <> ''")  # noqa: S608 (a constant)
    return [_to_grant(row) for row in rows]


@writes
def viewer_alerted(db: sqlite3.Connection, now: float, grant_id: str, alert: str) -> None:
    """The sender's notice is in the queue."""
    db.execute("UPDATE viewer_grant SET alert = '' WHERE id = ? AND alert = ?", (grant_id, alert))


@writes
def viewer_unlock(db: sqlite3.Connection, now: float, message_id: str, recipient: str) -> int:
    """The sender or the helpdesk lets this recipient try again; returns how many grants that was."""
    grants = db.execute(
        "SELECT id FROM viewer_grant WHERE message_id = ? AND recipient = ? AND failures >= ?",
        (message_id, recipient, FAILURES_BEFORE_LOCK),
    ).fetchall()
    for (grant_id,) in grants:
        db.execute("UPDATE viewer_grant SET failures = 0, spent_codes = 0, alert = '' WHERE id = ?", (grant_id,))
        _journal(db, now, grant_id, kinds.UNLOCKED)
    return len(grants)


@writes
def viewer_revoke(db: sqlite3.Connection, now: float, message_id: str, recipient: str) -> int:
    """Nobody reads it any more under this recipient's link, running sessions included."""
    grants = db.execute(
        "SELECT id FROM viewer_grant WHERE message_id = ? AND recipient = ? AND revoked_at IS NULL",
        (message_id, recipient),
    ).fetchall()
    for (grant_id,) in grants:
        _journal(db, now, grant_id, kinds.REVOKED)
        _end_grant(db, grant_id)
        db.execute("UPDATE viewer_grant SET revoked_at = ? WHERE id = ?", (now, grant_id))
    return len(grants)


@writes
def viewer_sweep(db: sqlite3.Connection, now: float) -> list[Pumping]:
    """Forget what has had its time; returns where SMS look like fraud."""
    expired = db.execute(
        "SELECT id FROM viewer_grant WHERE expires_at <= ? AND mobile IS NOT NULL LIMIT 500", (now,)
    ).fetchall()
    for (grant_id,) in expired:
        _end_grant(db, grant_id)
    db.execute("DELETE FROM viewer_grant WHERE expires_at <= ?", (now - TOMBSTONE,))
    db.execute("UPDATE viewer_code SET sealed = NULL WHERE expires_at <= ? AND sealed IS NOT NULL", (now,))
    db.execute("DELETE FROM viewer_code WHERE issued_at <= ?", (now - DAY,))
    db.execute("DELETE FROM viewer_browser WHERE bound_at <= ?", (now - HOUR,))
    db.execute("DELETE FROM viewer_session WHERE expires_at <= ? OR seen_at <= ?", (now, now - SESSION_IDLE))
    db.execute("DELETE FROM viewer_sms WHERE at <= ?", (now - DAY,))
    return _pumping(db, now)


@writes
def viewer_secret_keep(db: sqlite3.Connection, now: float, name: str, sealed: bytes) -> bytes:
    """The installation's sealed secret of this name: the stored one, or ``sealed`` when there was none."""
    db.execute("INSERT INTO viewer_secret (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, sealed))
    return bytes(db.execute("SELECT sealed FROM viewer_secret WHERE name = ?", (name,)).fetchone()[0])


def _row(db: sqlite3.Connection, query: str, arguments: tuple[Any, ...]) -> dict[str, Any] | None:
    cursor = db.execute(query, arguments)
    row = cursor.fetchone()
    return None if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))


def _grant(db: sqlite3.Connection, where: str, value: str | bytes) -> Grant | None:
    row = db.execute(f"SELECT {_GRANT} FROM viewer_grant WHERE {where}", (value,)).fetchone()  # noqa: S608 (constants)
    return None if row is None else _to_grant(row)


def _to_grant(row: tuple[Any, ...]) -> Grant:
    return Grant(**dict(zip(_GRANT.split(", "), row, strict=True)))


def _live_code(db: sqlite3.Connection, now: float, grant_id: str) -> dict[str, Any] | None:
    return _row(
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
    _journal(db, now, grant.id, kinds.WRONG_CODE)
    if spent:
        db.execute(
            "UPDATE viewer_grant SET spent_codes = spent_codes + 1,"
            " alert = CASE WHEN spent_codes + 1 = ? THEN 'wrong_codes' ELSE alert END WHERE id = ?",
            (SPENT_CODES_BEFORE_ALERT, grant.id),
        )
    if grant.failures + 1 >= FAILURES_BEFORE_LOCK:
        db.execute("UPDATE viewer_grant SET alert = 'locked' WHERE id = ?", (grant.id,))
        db.execute("UPDATE viewer_code SET state = 'spent', sealed = NULL WHERE grant_id = ?", (grant.id,))
        _journal(db, now, grant.id, kinds.LOCKED)


def _begin_session(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, new_browser: bytes) -> None:
    """The cookie changes with what it may do (session fixation); what the browser held already moves along."""
    db.execute("DELETE FROM viewer_browser WHERE browser = ? AND grant_id = ?", (browser, grant_id))
    db.execute("DELETE FROM viewer_session WHERE browser = ? AND grant_id = ?", (browser, grant_id))
    db.execute("UPDATE viewer_browser SET browser = ? WHERE browser = ?", (new_browser, browser))
    db.execute("UPDATE viewer_session SET browser = ? WHERE browser = ?", (new_browser, browser))
    db.execute(
        "INSERT INTO viewer_session (browser, grant_id, seen_at, expires_at) VALUES (?, ?, ?, ?)",
        (new_browser, grant_id, now, now + SESSION_LIFE),
    )


def _end_grant(db: sqlite3.Connection, grant_id: str) -> None:
    """Leave a tombstone: no recipient, no number, no code, no session."""
    db.execute("UPDATE viewer_grant SET mobile = NULL, recipient = '', alert = '' WHERE id = ?", (grant_id,))
    for table in ("viewer_code", "viewer_browser", "viewer_session"):
        db.execute(f"DELETE FROM {table} WHERE grant_id = ?", (grant_id,))  # noqa: S608 (constants)


def _pumping(db: sqlite3.Connection, now: float) -> list[Pumping]:
    rows = db.execute(
        "SELECT region, count(*), count(DISTINCT CASE WHEN c.state = 'used' THEN c.id END) FROM viewer_sms s"
        " LEFT JOIN viewer_code c ON c.id = s.code_id WHERE s.at > ? GROUP BY region HAVING count(*) >= ?",
        (now - HOUR, PUMPING_SENDS),
    )
    return [Pumping(region, sends, used) for region, sends, used in rows if used < sends * PUMPING_SHARE]


def _journal(db: sqlite3.Connection, now: float, grant_id: str, kind: str, facts: dict[str, Any] | None = None) -> None:
    message_id, recipient = db.execute(
        "SELECT message_id, recipient FROM viewer_grant WHERE id = ?", (grant_id,)
    ).fetchone()
    append_events(db, message_id, [Event(now, kind, recipient, facts or {})])
