"""The sender's side: the link to his own page, and what he may do there for each of his readers."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.errors import Conflict, LimitReached
from relayd.journal import kinds
from relayd.store.access_codes import DAY, HOUR
from relayd.store.operation import reads, writes
from relayd.store.viewer_tables import (
    GRANT_COLUMNS,
    SESSION_IDLE,
    Channel,
    Due,
    Grant,
    change_cookie,
    due,
    grant_where,
    journal,
    to_grant,
)

#: No session outlives this.
_SESSION_LIFE: Final = 8 * HOUR
#: A notification is sent again after this pause, and so often a day.
RESEND_PAUSE: Final = 600.0
RESENDS_DAILY: Final = 5

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS viewer_sender (
    message_id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_sender_expiry ON viewer_sender (expires_at);

CREATE TABLE IF NOT EXISTS viewer_sender_session (
    browser BLOB NOT NULL,
    message_id TEXT NOT NULL,
    seen_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (browser, message_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS viewer_sender_end AFTER DELETE ON message BEGIN
    DELETE FROM viewer_sender WHERE message_id = OLD.id;
    DELETE FROM viewer_sender_session WHERE message_id = OLD.id;
END;
"""


class SenderLink(msgspec.Struct, frozen=True):
    """A message whose sender got a link to its page."""

    message_id: str
    expires_at: float


@writes
def viewer_sender_create(
    db: sqlite3.Connection, now: float, message_id: str, token_hash: bytes, expires_at: float
) -> None:
    """In the settlement with the confirmation. Readers of one message may come in several."""
    db.execute(
        "INSERT INTO viewer_sender (message_id, token_hash, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (message_id, token_hash, expires_at),
    )


@reads
def viewer_sender_known(db: sqlite3.Connection, now: float, message_id: str) -> bool:
    """Whether the sender of this message has his link."""
    return db.execute("SELECT 1 FROM viewer_sender WHERE message_id = ?", (message_id,)).fetchone() is not None


@reads
def viewer_sender_by_token(db: sqlite3.Connection, now: float, token_hash: bytes) -> SenderLink | None:
    row = db.execute("SELECT message_id, expires_at FROM viewer_sender WHERE token_hash = ?", (token_hash,)).fetchone()
    return None if row is None else SenderLink(*row)


@writes
def viewer_sender_enter(
    db: sqlite3.Connection, now: float, message_id: str, browser: bytes, new_browser: bytes
) -> bool:
    """Begin a session of the sender's under a fresh cookie, which doesn't outlive his link. False when that has
    ended."""
    row = db.execute("SELECT expires_at FROM viewer_sender WHERE message_id = ?", (message_id,)).fetchone()
    if row is None or row[0] <= now:
        return False
    change_cookie(db, browser, new_browser)
    db.execute(
        "INSERT OR REPLACE INTO viewer_sender_session (browser, message_id, seen_at, expires_at) VALUES (?, ?, ?, ?)",
        (new_browser, message_id, now, min(now + _SESSION_LIFE, row[0])),
    )
    return True


@writes
def viewer_sender_seen(db: sqlite3.Connection, now: float, message_id: str, browser: bytes) -> bool:
    """Whether this browser's session for this message runs; then it was a sign of life."""
    seen = db.execute(
        "UPDATE viewer_sender_session SET seen_at = ? WHERE browser = ? AND message_id = ? AND expires_at > ?"
        " AND seen_at > ?",
        (now, browser, message_id, now, now - SESSION_IDLE),
    )
    return bool(seen.rowcount)


@reads
def viewer_grants_of(db: sqlite3.Connection, now: float, message_id: str) -> list[Grant]:
    """Everyone who reads this message in the Viewer."""
    rows = db.execute(
        f"SELECT {GRANT_COLUMNS} FROM viewer_grant WHERE message_id = ? ORDER BY recipient, created_at",  # noqa: S608
        (message_id,),
    )
    return [to_grant(row) for row in rows]


@writes
def viewer_revoke(db: sqlite3.Connection, now: float, message_id: str, recipient: str) -> int:
    """Nobody reads it any more under this recipient's link, nor the copies that he passed on, open sessions included;
    "" is all recipients. What is needed to take that back is kept until the end of its time."""
    changed = 0
    for grant_id in _of(db, message_id, recipient):
        if _revoke(db, now, grant_id):
            changed += 1
            for copy in _copies(db, grant_id):
                _revoke(db, now, copy)
    return changed


@writes
def viewer_restore(db: sqlite3.Connection, now: float, message_id: str, recipient: str) -> int:
    """Take a withdrawal back, while the message's time runs; "" is all recipients. Copies that were withdrawn with it
    come back with it, and no others."""
    changed = 0
    for grant_id in _of(db, message_id, recipient):
        grant = grant_where(db, "id = ?", grant_id)
        if grant is not None and grant.revoked_at is not None and _restore(db, now, grant_id, grant.revoked_at):
            changed += 1
            for copy in _copies(db, grant_id):
                _restore(db, now, copy, grant.revoked_at)
    return changed


@writes
def viewer_number_correct(db: sqlite3.Connection, now: float, grant_id: str, mobile: bytes) -> None:
    """Codes go to another number from now on. What the old one opened is closed, and a lock is lifted."""
    changed = db.execute(
        "UPDATE viewer_grant SET mobile = ?, channel = ?, secret = NULL, failures = 0, spent_codes = 0,"
        " locked_until = 0 WHERE id = ? AND recipient <> '' AND expires_at > ? AND revoked_at IS NULL",
        (mobile, Channel.SMS, grant_id, now),
    )
    if not changed.rowcount:
        raise Conflict("the grant has ended")
    _end_sessions(db, grant_id)
    db.execute(
        "DELETE FROM viewer_due WHERE grant_id = ? AND kind IN (?, ?, ?)",
        (grant_id, Due.LOCKED, Due.WRONG_CODES, Due.WRONG_NUMBER),
    )
    journal(db, now, grant_id, kinds.NUMBER_CORRECTED)


@writes
def viewer_number_dispute(db: sqlite3.Connection, now: float, grant_id: str) -> bool:
    """The reader says that the number isn't his: the sender hears of it, once until he has corrected it. False when he
    has heard already."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now) or grant.channel is not Channel.SMS:
        return False
    last = db.execute(
        "SELECT kind FROM event WHERE message_id = ? AND recipient = ? AND kind IN (?, ?)"
        " ORDER BY sequence DESC LIMIT 1",
        (grant.message_id, grant.recipient, kinds.NUMBER_DISPUTED, kinds.NUMBER_CORRECTED),
    ).fetchone()
    if last is not None and last[0] == kinds.NUMBER_DISPUTED:
        return False
    due(db, now, grant_id, Due.WRONG_NUMBER)
    journal(db, now, grant_id, kinds.NUMBER_DISPUTED)
    return True


@writes
def viewer_notify_again(db: sqlite3.Connection, now: float, grant_id: str) -> None:
    """In the transaction with the notification. Raises LimitReached when the last one is too young or there were too
    many, and Conflict when the grant has ended."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now):
        raise Conflict("the grant has ended")
    count, last = db.execute(
        "SELECT count(*), coalesce(max(at), 0) FROM event WHERE message_id = ? AND recipient = ? AND kind = ?"
        " AND at > ?",
        (grant.message_id, grant.recipient, kinds.NOTIFIED, now - DAY),
    ).fetchone()
    if count >= RESENDS_DAILY or last > now - RESEND_PAUSE:
        raise LimitReached("notified often enough")
    journal(db, now, grant_id, kinds.NOTIFIED)


@writes
def viewer_failed(db: sqlite3.Connection, now: float, grant_id: str, kind: str, status: str) -> None:
    """A report says that a mail of this grant's wasn't taken; ``kind`` is the event's."""
    journal(db, now, grant_id, kind, {"status": status})


def sweep(db: sqlite3.Connection, now: float) -> None:
    """Sessions and links that have ended."""
    db.execute("DELETE FROM viewer_sender_session WHERE expires_at <= ? OR seen_at <= ?", (now, now - SESSION_IDLE))
    db.execute("DELETE FROM viewer_sender WHERE expires_at <= ?", (now,))


def _of(db: sqlite3.Connection, message_id: str, recipient: str) -> list[str]:
    rows = db.execute(
        "SELECT id FROM viewer_grant WHERE message_id = ? AND (? = '' OR recipient = ?)",
        (message_id, recipient, recipient),
    )
    return [grant_id for (grant_id,) in rows.fetchall()]


def _copies(db: sqlite3.Connection, grant_id: str) -> list[str]:
    """The grants of those to whom this one's reader passed it on."""
    rows = db.execute(
        "SELECT g.id FROM viewer_passed_on p JOIN viewer_grant g ON g.message_id = p.copy WHERE p.grant_id = ?",
        (grant_id,),
    )
    return [copy for (copy,) in rows.fetchall()]


def _revoke(db: sqlite3.Connection, now: float, grant_id: str) -> bool:
    changed = db.execute(
        "UPDATE viewer_grant SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL AND recipient <> ''",
        (now, grant_id),
    )
    if not changed.rowcount:
        return False
    _end_sessions(db, grant_id)
    db.execute("DELETE FROM viewer_due WHERE grant_id = ?", (grant_id,))
    journal(db, now, grant_id, kinds.REVOKED)
    return True


def _restore(db: sqlite3.Connection, now: float, grant_id: str, revoked_at: float) -> bool:
    changed = db.execute(
        "UPDATE viewer_grant SET revoked_at = NULL WHERE id = ? AND revoked_at = ? AND expires_at > ?"
        " AND recipient <> ''",
        (grant_id, revoked_at, now),
    )
    if not changed.rowcount:
        return False
    journal(db, now, grant_id, kinds.RESTORED)
    return True


def _end_sessions(db: sqlite3.Connection, grant_id: str) -> None:
    for table in ("viewer_code", "viewer_browser", "viewer_session"):
        db.execute(f"DELETE FROM {table} WHERE grant_id = ?", (grant_id,))  # noqa: S608 (constants)
