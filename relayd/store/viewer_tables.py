"""The Viewer's tables.

A *grant* lets one recipient read one message. A *thread* is the conversation that grants belong to. A *code* is one
access code of a grant. A *browser* is the SHA-256 of the cookie of one browser: first bound to the code it asked for,
later the holder of a session. Nothing here can be read back into a link, a cookie, a code or a number: tokens are
hashes, codes and numbers are sealed, and the key under which numbers are counted is itself sealed.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Any, Final

import msgspec

from relayd.journal.event import Event
from relayd.store.access_codes import FAILURES_BEFORE_LOCK, SECRET_TRIES
from relayd.store.tables import insert_events

#: A session without a request ends after this, in seconds (ASVS 5.0 7.3.1).
SESSION_IDLE: Final = 20 * 60.0

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS viewer_grant (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    message_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    recipient TEXT NOT NULL,            -- whose it is: '' once it is forgotten
    copy INTEGER NOT NULL,
    language TEXT NOT NULL,
    channel TEXT NOT NULL DEFAULT 'sms',
    mobile BLOB,
    secret BLOB,
    thread TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    revoked_at REAL,
    failures INTEGER NOT NULL DEFAULT 0,
    spent_codes INTEGER NOT NULL DEFAULT 0,
    locked_until REAL NOT NULL DEFAULT 0,
    forwards INTEGER NOT NULL DEFAULT 0,
    visited_at REAL NOT NULL DEFAULT 0,
    opened_at REAL NOT NULL DEFAULT 0,
    reminded INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_grant_message ON viewer_grant (message_id);
CREATE INDEX IF NOT EXISTS viewer_grant_expiry ON viewer_grant (expires_at);

-- A conversation between a reader and an organisation. replies counts those since its last message.
CREATE TABLE IF NOT EXISTS viewer_thread (
    id TEXT PRIMARY KEY,
    replies INTEGER NOT NULL DEFAULT 0,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Mail addresses that stand for a grant: 'reply' reaches its reader, 'bounce' gets reports on its notifications and
-- answers, 'forward' those on what was passed on.
CREATE TABLE IF NOT EXISTS viewer_address (
    token_hash BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    grant_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_address_grant ON viewer_address (grant_id);

-- Notices that are due: each goes with the transaction in which its mail comes to exist.
CREATE TABLE IF NOT EXISTS viewer_due (
    grant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (grant_id, kind)
) STRICT, WITHOUT ROWID;

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
    key BLOB,                           -- the message's key, for this browser's cookie only, where a password made it
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS viewer_sms (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    code_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    number_key BLOB NOT NULL,
    region TEXT NOT NULL,
    provider TEXT NOT NULL DEFAULT '',
    receipt_hash BLOB,                  -- SHA-256 of the provider's own name for it
    state TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS viewer_sms_number ON viewer_sms (number_key, at);
CREATE INDEX IF NOT EXISTS viewer_sms_organisation ON viewer_sms (organisation, at);
CREATE INDEX IF NOT EXISTS viewer_sms_at ON viewer_sms (at);
CREATE INDEX IF NOT EXISTS viewer_sms_receipt ON viewer_sms (receipt_hash) WHERE receipt_hash IS NOT NULL;

-- A message that is forgotten takes its recipients along; the link still says "expired" for a while.
CREATE TRIGGER IF NOT EXISTS viewer_forget AFTER DELETE ON message BEGIN
    DELETE FROM viewer_code WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_browser WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_session WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_due WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_address WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    UPDATE viewer_grant SET mobile = NULL, secret = NULL, recipient = '', expires_at = min(expires_at, OLD.expires_at)
        WHERE message_id = OLD.id;
END;

CREATE TABLE IF NOT EXISTS viewer_secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""

#: What makes these tables of those of version 2. The notices that were due stay due.
TO_VERSION_3: Final = (
    "DROP TRIGGER IF EXISTS viewer_forget",
    "CREATE TABLE viewer_due (grant_id TEXT NOT NULL, kind TEXT NOT NULL, since REAL NOT NULL,"
    " PRIMARY KEY (grant_id, kind)) STRICT, WITHOUT ROWID",
    "INSERT INTO viewer_due (grant_id, kind, since) SELECT id, alert, 0 FROM viewer_grant WHERE alert <> ''",
    "DROP INDEX viewer_grant_alert",
    "ALTER TABLE viewer_grant DROP COLUMN alert",
    "ALTER TABLE viewer_grant ADD COLUMN channel TEXT NOT NULL DEFAULT 'sms'",
    "ALTER TABLE viewer_grant ADD COLUMN secret BLOB",
    "ALTER TABLE viewer_grant ADD COLUMN thread TEXT NOT NULL DEFAULT ''",
    "UPDATE viewer_grant SET thread = id",
    "ALTER TABLE viewer_grant ADD COLUMN locked_until REAL NOT NULL DEFAULT 0",
    "ALTER TABLE viewer_grant ADD COLUMN forwards INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE viewer_grant ADD COLUMN opened_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE viewer_grant ADD COLUMN reminded INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE viewer_session ADD COLUMN key BLOB",
    "ALTER TABLE viewer_sms ADD COLUMN provider TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE viewer_sms ADD COLUMN receipt_hash BLOB",
    "ALTER TABLE viewer_sms ADD COLUMN state TEXT NOT NULL DEFAULT ''",
)


class Channel(StrEnum):
    """How a reader shows that the message is for him.

    SMS: a code to his mobile. EMAIL: a code to the same mailbox as the link, where the organisation allows it; one
    channel, and the journal says so. ACCESS_CODE: a code that the sender gave him. PASSWORD: what whoever passed the
    message on gave him; without it nobody can open the message, we included.
    """

    SMS = "sms"
    EMAIL = "email"
    ACCESS_CODE = "access_code"
    PASSWORD = "password"  # noqa: S105 (a word of the database)


class Due(StrEnum):
    """What somebody must be told by mail about a grant. WRONG_CODES, LOCKED, WRONG_NUMBER (the reader says that the
    number isn't his) and READ (the receipt that was asked for) go to the sender, REMINDER to the reader."""

    WRONG_CODES = "wrong_codes"
    LOCKED = "locked"
    WRONG_NUMBER = "wrong_number"
    READ = "read"
    REMINDER = "reminder"


class AddressKind(StrEnum):
    """REPLY: mail to it reaches the reader. BOUNCE: reports on the grant's notifications and answers come to it.
    FORWARD: those on what its reader passed on; whoever got that may know this address and none of the others."""

    REPLY = "reply"
    BOUNCE = "bounce"
    FORWARD = "forward"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient's right to read one message.

    ``mobile`` is sealed under the message's key, part "grant:<id>"; ``secret``, the verifier of the sender's access
    code, under part "access:<id>". ``thread`` is the conversation that it belongs to. ``forwards`` counts how often its
    reader passed it on.
    """

    id: str
    message_id: str
    organisation: str
    recipient: str
    copy: int
    language: str
    channel: Channel
    mobile: bytes | None
    secret: bytes | None
    thread: str
    created_at: float
    expires_at: float
    revoked_at: float | None
    failures: int
    locked_until: float
    forwards: int

    def ended(self, now: float) -> bool:
        """Withdrawn, at its end, or forgotten already."""
        return self.revoked_at is not None or now >= self.expires_at or not self.recipient

    @property
    def locked(self) -> bool:
        most = FAILURES_BEFORE_LOCK if self.channel in (Channel.SMS, Channel.EMAIL) else SECRET_TRIES
        return self.failures >= most


GRANT_COLUMNS: Final = (
    "id, message_id, organisation, recipient, copy, language, channel, mobile, secret, thread, created_at, expires_at, "
    "revoked_at, failures, locked_until, forwards"
)


def row_of(db: sqlite3.Connection, query: str, arguments: tuple[Any, ...]) -> dict[str, Any] | None:
    cursor = db.execute(query, arguments)
    row = cursor.fetchone()
    return None if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))


def grant_where(db: sqlite3.Connection, where: str, value: str | bytes) -> Grant | None:
    row = db.execute(f"SELECT {GRANT_COLUMNS} FROM viewer_grant WHERE {where}", (value,)).fetchone()  # noqa: S608 (constants)
    return None if row is None else to_grant(row)


def to_grant(row: tuple[Any, ...]) -> Grant:
    return msgspec.convert(dict(zip(GRANT_COLUMNS.split(", "), row, strict=True)), Grant)


def journal(db: sqlite3.Connection, now: float, grant_id: str, kind: str, facts: dict[str, Any] | None = None) -> None:
    message_id, recipient = db.execute(
        "SELECT message_id, recipient FROM viewer_grant WHERE id = ?", (grant_id,)
    ).fetchone()
    insert_events(db, message_id, [Event(now, kind, recipient, facts or {})])


def session_runs(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> bool:
    """Whether this browser's session for the grant runs, and the grant with it."""
    row = db.execute(
        "SELECT 1 FROM viewer_session WHERE browser = ? AND grant_id = ? AND expires_at > ? AND seen_at > ?",
        (browser, grant_id, now, now - SESSION_IDLE),
    ).fetchone()
    grant = grant_where(db, "id = ?", grant_id) if row is not None else None
    return grant is not None and not grant.ended(now)


def change_cookie(db: sqlite3.Connection, browser: bytes, new_browser: bytes) -> None:
    """The cookie changes with what it may do (session fixation). What the browser held already moves along, but for
    sessions with a key: that was sealed for the old cookie, which nobody has any more."""
    db.execute("DELETE FROM viewer_session WHERE browser = ? AND key IS NOT NULL", (browser,))
    for table in ("viewer_browser", "viewer_session", "viewer_sender_session"):
        db.execute(f"UPDATE {table} SET browser = ? WHERE browser = ?", (new_browser, browser))  # noqa: S608 (constants)


def due(db: sqlite3.Connection, now: float, grant_id: str, kind: Due) -> bool:
    """Somebody must be told; once is enough. False when that was due already."""
    made = db.execute(
        "INSERT INTO viewer_due (grant_id, kind, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (grant_id, kind, now)
    )
    return made.rowcount == 1
