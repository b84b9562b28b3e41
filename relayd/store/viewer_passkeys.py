"""Passkeys of readers who come back: instead of a new code, for the same organisation, mailbox and number.

A passkey belongs to an ``owner``: a keyed hash of the organisation, the address and the mobile number, made by who
asks. When a sender gives another number, that is another owner: what the old number opened, opens nothing for the new
one.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.journal import kinds
from relayd.store.access_codes import DAY
from relayd.store.operation import reads, writes
from relayd.store.viewer_codes import begin_session
from relayd.store.viewer_tables import grant_where, journal, session_runs

#: Unused for so long it is forgotten.
LIFE: Final = 400 * DAY
#: Devices of one owner; the one unused for longest gives way.
MOST: Final = 5
#: An answer to a challenge is awaited this long, in seconds.
CHALLENGE_LIFE: Final = 300.0

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS viewer_passkey (
    credential BLOB PRIMARY KEY,
    owner BLOB NOT NULL,
    public_key BLOB NOT NULL,
    sign_count INTEGER NOT NULL,
    used_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_passkey_owner ON viewer_passkey (owner);

CREATE TABLE IF NOT EXISTS viewer_challenge (
    browser BLOB NOT NULL,
    grant_id TEXT NOT NULL,
    challenge BLOB NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;
"""


class Passkey(msgspec.Struct, frozen=True):
    """A credential (W3C Web Authentication): its id, its public key in COSE form, and its signature counter."""

    credential: bytes
    public_key: bytes
    sign_count: int


@reads
def viewer_passkeys(db: sqlite3.Connection, now: float, owner: bytes) -> list[Passkey]:
    """Those that may be used."""
    rows = db.execute(
        "SELECT credential, public_key, sign_count FROM viewer_passkey WHERE owner = ? AND used_at > ?"
        " ORDER BY used_at DESC",
        (owner, now - LIFE),
    )
    return [Passkey(*row) for row in rows]


@writes
def viewer_challenge_put(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, challenge: bytes) -> None:
    """What this browser's next answer must sign; the one before counts no more."""
    db.execute(
        "INSERT OR REPLACE INTO viewer_challenge (browser, grant_id, challenge, expires_at) VALUES (?, ?, ?, ?)",
        (browser, grant_id, challenge, now + CHALLENGE_LIFE),
    )


@writes
def viewer_challenge_take(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> bytes | None:
    """The challenge, once: an answer that is sent again finds none."""
    row = db.execute(
        "DELETE FROM viewer_challenge WHERE browser = ? AND grant_id = ? RETURNING challenge, expires_at",
        (browser, grant_id),
    ).fetchone()
    return row[0] if row is not None and row[1] > now else None


@writes
def viewer_passkey_add(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, owner: bytes, passkey: Passkey
) -> bool:
    """False when that credential is somebody's already, or the session has ended."""
    if not session_runs(db, now, grant_id, browser):
        return False
    added = db.execute(
        "INSERT INTO viewer_passkey (credential, owner, public_key, sign_count, used_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (passkey.credential, owner, passkey.public_key, passkey.sign_count, now),
    )
    if not added.rowcount:
        return False
    db.execute(
        "DELETE FROM viewer_passkey WHERE owner = ? AND credential NOT IN"
        " (SELECT credential FROM viewer_passkey WHERE owner = ? ORDER BY used_at DESC, credential LIMIT ?)",
        (owner, owner, MOST),
    )
    journal(db, now, grant_id, kinds.PASSKEY_ADDED)
    return True


@writes
def viewer_passkey_open(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    mobile: bytes | None,
    owner: bytes,
    credential: bytes,
    sign_count: int,
    browser: bytes,
    new_browser: bytes,
) -> bool:
    """Begin the session under a fresh cookie. False when the grant has ended or is locked, its sealed number isn't
    ``mobile`` any more, of which the owner was made, or the passkey is gone."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now) or grant.locked or grant.mobile != mobile:
        return False
    used = db.execute(
        "UPDATE viewer_passkey SET sign_count = ?, used_at = ? WHERE credential = ? AND owner = ? AND used_at > ?",
        (sign_count, now, credential, owner, now - LIFE),
    )
    if not used.rowcount:
        return False
    begin_session(db, now, grant_id, browser, new_browser)
    journal(db, now, grant_id, kinds.VERIFIED, {"channel": "passkey"})
    return True


@writes
def viewer_passkeys_remove(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, owner: bytes) -> int:
    """All of the owner's; how many there were; 0 when the session has ended."""
    if not session_runs(db, now, grant_id, browser):
        return 0
    removed = db.execute("DELETE FROM viewer_passkey WHERE owner = ?", (owner,)).rowcount
    if removed:
        journal(db, now, grant_id, kinds.PASSKEYS_REMOVED)
    return removed


def sweep(db: sqlite3.Connection, now: float) -> None:
    """Challenges nobody answered, and passkeys nobody used."""
    db.execute("DELETE FROM viewer_challenge WHERE expires_at <= ?", (now,))
    db.execute("DELETE FROM viewer_passkey WHERE used_at <= ?", (now - LIFE,))
