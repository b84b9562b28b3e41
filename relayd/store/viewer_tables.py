"""The Viewer's tables.

A *grant* lets one recipient read one message. A *code* is one access code of a grant. A *browser* is the SHA-256 of
the cookie of one browser: first bound to the code it asked for, later the holder of a session. Nothing here can be
read back into a link, a cookie, a code or a number: tokens are hashes, codes and numbers are sealed, and the key under
which numbers are counted is itself sealed.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from relayd.journal.event import Event
from relayd.store.access_codes import FAILURES_BEFORE_LOCK
from relayd.store.tables import insert_events

SCHEMA: Final = """
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

-- A message that is forgotten takes its recipients along; the link still says "expired" for a while.
CREATE TRIGGER IF NOT EXISTS viewer_forget AFTER DELETE ON message BEGIN
    DELETE FROM viewer_code WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_browser WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_session WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    UPDATE viewer_grant SET mobile = NULL, recipient = '', alert = '', expires_at = min(expires_at, OLD.expires_at)
        WHERE message_id = OLD.id;
END;

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


GRANT_COLUMNS: Final = (
    "id, message_id, organisation, recipient, copy, language, mobile, created_at, expires_at, revoked_at, failures, "
    "alert"
)


def row_of(db: sqlite3.Connection, query: str, arguments: tuple[Any, ...]) -> dict[str, Any] | None:
    cursor = db.execute(query, arguments)
    row = cursor.fetchone()
    return None if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))


def grant_where(db: sqlite3.Connection, where: str, value: str | bytes) -> Grant | None:
    row = db.execute(f"SELECT {GRANT_COLUMNS} FROM viewer_grant WHERE {where}", (value,)).fetchone()  # noqa: S608 (constants)
    return None if row is None else to_grant(row)


def to_grant(row: tuple[Any, ...]) -> Grant:
    return Grant(**dict(zip(GRANT_COLUMNS.split(", "), row, strict=True)))


def journal(db: sqlite3.Connection, now: float, grant_id: str, kind: str, facts: dict[str, Any] | None = None) -> None:
    message_id, recipient = db.execute(
        "SELECT message_id, recipient FROM viewer_grant WHERE id = ?", (grant_id,)
    ).fetchone()
    insert_events(db, message_id, [Event(now, kind, recipient, facts or {})])
