"""Operations on the Viewer's grants and sessions; those on access codes are in ``viewer_codes``."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.errors import Conflict
from relayd.journal import kinds
from relayd.store import viewer_codes, viewer_drafts, viewer_passkeys, viewer_senders, viewer_sms, viewer_tables
from relayd.store.access_codes import DAY, HOUR
from relayd.store.operation import reads, writes
from relayd.store.viewer_tables import SESSION_IDLE, AddressKind, Channel, Due, Grant, due, grant_where, journal, row_of

#: Importing this module registers the operations of ``viewer_codes`` too.
__all__ = ["SCHEMA", "Session", "viewer_codes", "viewer_senders", "viewer_sms"]

SCHEMA: Final = viewer_tables.SCHEMA
TO_VERSION_3: Final = viewer_tables.TO_VERSION_3
#: An expired grant is remembered this long without its recipient, so that an old link says "expired".
TOMBSTONE: Final = 365 * DAY
#: A visit within this time of the one before isn't journalled again.
VISIT_PAUSE: Final = HOUR

_JOURNALLED: Final = {Due.READ: kinds.RECEIPT_SENT, Due.REMINDER: kinds.REMINDED}


class Session(msgspec.Struct, frozen=True):
    """A browser that gave the right code for this grant. ``key`` is the message's, sealed for its cookie, where a
    password opened it: then it lives with the session, whose cookie never changes."""

    grant: Grant
    seen_at: float
    opened: bool
    key: bytes | None = None


class DueNotice(msgspec.Struct, frozen=True):
    """What somebody must still be told about a grant, since when."""

    grant: Grant
    kind: Due
    since: float


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
    channel: Channel,
    mobile: bytes | None,
    secret: bytes | None,
    thread: str,
    addresses: dict[str, bytes],
    expires_at: float,
) -> None:
    """Runs in the transaction that stores the message for this recipient: no grant without, no notification without.

    The sender's side has spoken: in its ``thread`` the reader may reply anew. ``addresses`` maps kinds of address to
    the SHA-256 of their tokens.
    """
    db.execute(
        "INSERT INTO viewer_grant (id, token_hash, message_id, organisation, recipient, copy, language, channel,"
        " mobile, secret, thread, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(grant_id, token_hash, message_id, organisation, recipient, copy, language, channel, mobile, secret),
            *(thread, now, expires_at),
        ),
    )
    db.execute(
        "INSERT INTO viewer_thread (id, expires_at) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET replies = 0, expires_at = max(expires_at, excluded.expires_at)",
        (thread, expires_at),
    )
    db.executemany(
        "INSERT INTO viewer_address (token_hash, kind, grant_id) VALUES (?, ?, ?)",
        [(token, kind, grant_id) for kind, token in addresses.items()],
    )
    journal(db, now, grant_id, kinds.NOTIFIED)


@reads
def viewer_grant_by_address(db: sqlite3.Connection, now: float, kind: AddressKind, token_hash: bytes) -> Grant | None:
    """The grant that a mail address of ours stands for."""
    row = db.execute(
        "SELECT grant_id FROM viewer_address WHERE token_hash = ? AND kind = ?", (token_hash, kind)
    ).fetchone()
    return None if row is None else grant_where(db, "id = ?", row[0])


@reads
def viewer_replies(db: sqlite3.Connection, now: float, thread: str) -> int:
    """How many replies the reader has written since the organisation's last message."""
    row = db.execute("SELECT replies FROM viewer_thread WHERE id = ?", (thread,)).fetchone()
    return 0 if row is None else int(row[0])


@reads
def viewer_grant_by_token(db: sqlite3.Connection, now: float, token_hash: bytes) -> Grant | None:
    return grant_where(db, "token_hash = ?", token_hash)


@reads
def viewer_grant(db: sqlite3.Connection, now: float, grant_id: str) -> Grant | None:
    return grant_where(db, "id = ?", grant_id)


@writes
def viewer_visited(db: sqlite3.Connection, now: float, grant_id: str) -> None:
    """The link was opened, by a person or by a scanner: it never counts as read."""
    visited = db.execute(
        "UPDATE viewer_grant SET visited_at = ? WHERE id = ? AND visited_at <= ?"
        " AND revoked_at IS NULL AND expires_at > ?",
        (now, grant_id, now - VISIT_PAUSE, now),
    )
    if visited.rowcount:
        journal(db, now, grant_id, kinds.LINK_VISITED)


@reads
def viewer_session(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> Session | None:
    """The running session of this browser for this grant."""
    row = row_of(
        db,
        "SELECT seen_at, opened, key FROM viewer_session WHERE browser = ? AND grant_id = ?"
        " AND expires_at > ? AND seen_at > ?",
        (browser, grant_id, now, now - SESSION_IDLE),
    )
    grant = grant_where(db, "id = ?", grant_id) if row else None
    if row is None or grant is None or grant.ended(now):
        return None
    return Session(grant, row["seen_at"], bool(row["opened"]), row["key"])


@writes
def viewer_session_seen(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> None:
    """The person is still there."""
    db.execute(
        "UPDATE viewer_session SET seen_at = ? WHERE browser = ? AND grant_id = ? AND expires_at > ? AND seen_at > ?",
        (now, browser, grant_id, now, now - SESSION_IDLE),
    )


@writes
def viewer_opened(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, receipt: bool) -> None:
    """The message was shown in this session; journalled once per session. ``receipt``: its sender asks to hear of the
    first time."""
    opened = db.execute(
        "UPDATE viewer_session SET opened = 1 WHERE browser = ? AND grant_id = ? AND opened = 0", (browser, grant_id)
    )
    if opened.rowcount:
        journal(db, now, grant_id, kinds.OPENED)
        first = db.execute("UPDATE viewer_grant SET opened_at = ? WHERE id = ? AND opened_at = 0", (now, grant_id))
        if first.rowcount and receipt:
            due(db, now, grant_id, Due.READ)


@writes
def viewer_downloaded(db: sqlite3.Connection, now: float, grant_id: str, part: str) -> None:
    """``part`` is the MIME part's path, or "message" for the whole."""
    journal(db, now, grant_id, kinds.DOWNLOADED, {"part": part})


@writes
def viewer_logout(db: sqlite3.Connection, now: float, browser: bytes) -> None:
    """End all that this browser holds, as reader and as sender."""
    for table in ("viewer_session", "viewer_sender_session", "viewer_browser", "viewer_challenge"):
        db.execute(f"DELETE FROM {table} WHERE browser = ?", (browser,))  # noqa: S608 (constants)


@reads
def viewer_due_notices(db: sqlite3.Connection, now: float, limit: int = 100) -> list[DueNotice]:
    """The notices that are due, the oldest first."""
    rows = db.execute("SELECT grant_id, kind, since FROM viewer_due ORDER BY since LIMIT ?", (limit,)).fetchall()
    grants = [(grant_where(db, "id = ?", grant_id), kind, since) for grant_id, kind, since in rows]
    return [DueNotice(grant, Due(kind), since) for grant, kind, since in grants if grant is not None]


@writes
def viewer_notice_given(db: sqlite3.Connection, now: float, grant_id: str, kind: Due) -> None:
    """Its mail is in the queue, by the same transaction; or there is nobody to tell. Raises Conflict when it was given
    already."""
    if not db.execute("DELETE FROM viewer_due WHERE grant_id = ? AND kind = ?", (grant_id, kind)).rowcount:
        raise Conflict("this notice was given already")
    if kind in _JOURNALLED:
        journal(db, now, grant_id, _JOURNALLED[kind])


@writes
def viewer_remind(db: sqlite3.Connection, now: float, days: dict[str, float]) -> None:
    """Make reminders due: of what was never opened and ends within the days that its organisation has set. Once each,
    and not of what is younger than that itself."""
    longest = max(days.values(), default=0.0) * DAY
    if not longest:
        return
    ending = db.execute(
        "SELECT id, organisation, created_at, expires_at FROM viewer_grant WHERE expires_at > ? AND expires_at <= ?"
        " AND revoked_at IS NULL AND opened_at = 0 AND reminded = 0 AND recipient <> '' LIMIT 500",
        (now, now + longest),
    ).fetchall()
    for grant_id, organisation, created_at, expires_at in ending:
        before = days.get(organisation, 0.0) * DAY
        if now >= expires_at - before and created_at < expires_at - before:
            db.execute("UPDATE viewer_grant SET reminded = 1 WHERE id = ?", (grant_id,))
            due(db, now, grant_id, Due.REMINDER)


@writes
def viewer_unlock(db: sqlite3.Connection, now: float, message_id: str, recipient: str) -> int:
    """The sender or the helpdesk lets this recipient try again; returns how many grants that was."""
    grants = db.execute(
        "SELECT id FROM viewer_grant WHERE message_id = ? AND recipient = ?", (message_id, recipient)
    ).fetchall()
    locked = [one.id for (grant_id,) in grants if (one := grant_where(db, "id = ?", grant_id)) and one.locked]
    for grant_id in locked:
        db.execute("UPDATE viewer_grant SET failures = 0, spent_codes = 0, locked_until = 0 WHERE id = ?", (grant_id,))
        db.execute(
            "DELETE FROM viewer_due WHERE grant_id = ? AND kind IN (?, ?)", (grant_id, Due.WRONG_CODES, Due.LOCKED)
        )
        journal(db, now, grant_id, kinds.UNLOCKED)
    return len(locked)


@writes
def viewer_sweep(db: sqlite3.Connection, now: float) -> None:
    """Forget what has had its time."""
    expired = db.execute(
        "SELECT id FROM viewer_grant WHERE expires_at <= ? AND recipient <> '' LIMIT 500", (now,)
    ).fetchall()
    for (grant_id,) in expired:
        _end_grant(db, grant_id)
    db.execute("DELETE FROM viewer_grant WHERE expires_at <= ?", (now - TOMBSTONE,))
    db.execute("UPDATE viewer_code SET sealed = NULL WHERE expires_at <= ? AND sealed IS NOT NULL", (now,))
    db.execute("DELETE FROM viewer_code WHERE issued_at <= ?", (now - DAY,))
    db.execute("DELETE FROM viewer_browser WHERE bound_at <= ?", (now - HOUR,))
    db.execute("DELETE FROM viewer_session WHERE expires_at <= ? OR seen_at <= ?", (now, now - SESSION_IDLE))
    db.execute("DELETE FROM viewer_thread WHERE expires_at <= ?", (now,))
    viewer_drafts.sweep(db, now)
    viewer_senders.sweep(db, now)
    viewer_sms.sweep(db, now)
    viewer_passkeys.sweep(db, now)


@writes
def viewer_secret_keep(db: sqlite3.Connection, now: float, name: str, sealed: bytes) -> bytes:
    """The installation's sealed secret of this name: the stored one, or ``sealed`` when there was none."""
    db.execute("INSERT INTO viewer_secret (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, sealed))
    return bytes(db.execute("SELECT sealed FROM viewer_secret WHERE name = ?", (name,)).fetchone()[0])


def _end_grant(db: sqlite3.Connection, grant_id: str) -> None:
    """Leave a tombstone: no recipient, no number, no code, no session."""
    db.execute("UPDATE viewer_grant SET mobile = NULL, secret = NULL, recipient = '' WHERE id = ?", (grant_id,))
    for table in ("viewer_code", "viewer_browser", "viewer_session", "viewer_due", "viewer_address"):
        db.execute(f"DELETE FROM {table} WHERE grant_id = ?", (grant_id,))  # noqa: S608 (constants)
