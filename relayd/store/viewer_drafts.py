"""What a reader is writing: a draft per grant, its files, and the moment at which it becomes a reply.

Text and names are sealed under the message's key, each file under a key of its own that the same week's key wraps. So
all of it ends with the message it answers.

Whoever presses twice, goes back, or has two windows sends no answer twice and loses nothing. A form has a name, which
goes with the draft and is remembered with what it sent. A draft has a version: what came to it after it was read isn't
sent, and so isn't deleted either.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.errors import Conflict, LimitReached
from relayd.journal import kinds
from relayd.store.access_codes import HOUR
from relayd.store.operation import reads, writes
from relayd.store.records import BlobRef
from relayd.store.viewer_tables import Grant, grant_where, journal, session_runs

#: Replies of a reader between two messages of the organisation.
REPLIES: Final = 2
FILES: Final = 25
#: Octets of all files of one reply.
FILES_SIZE: Final = 36 * 10**6
#: Octets that may be sent to one message's drafts within a day, those counted that came to nothing or were taken back.
DAILY_SIZE: Final = 10 * FILES_SIZE

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS viewer_draft (
    grant_id TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    text BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS viewer_sent (
    grant_id TEXT NOT NULL,
    form TEXT NOT NULL,
    text BLOB NOT NULL,
    PRIMARY KEY (grant_id, form)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS viewer_upload (
    id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    name BLOB NOT NULL,
    type TEXT NOT NULL,
    size INTEGER NOT NULL,
    organisation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    body_file TEXT NOT NULL,
    body_offset INTEGER NOT NULL,
    body_length INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_upload_grant ON viewer_upload (grant_id, number);
CREATE INDEX IF NOT EXISTS viewer_upload_file ON viewer_upload (body_file);

-- What was sent to drafts, by the hour.
CREATE TABLE IF NOT EXISTS viewer_arrived (
    grant_id TEXT NOT NULL,
    hour INTEGER NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (grant_id, hour)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS viewer_draft_end AFTER UPDATE OF recipient ON viewer_grant WHEN NEW.recipient = '' BEGIN
    DELETE FROM viewer_draft WHERE grant_id = NEW.id;
    DELETE FROM viewer_upload WHERE grant_id = NEW.id;
    DELETE FROM viewer_sent WHERE grant_id = NEW.id;
END;
"""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One file. ``name`` is sealed under the grant's message, part "upload:<id>"; ``size`` is in octets, unsealed."""

    id: str
    name: bytes
    type: str
    size: int
    organisation: str
    epoch: str
    wrapped_key: bytes
    body: BlobRef


class Draft(msgspec.Struct, frozen=True):
    """``id`` is the form's that it began with; each change makes another ``version``. ``text`` is sealed, part
    "draft:<grant>"; b"" where there is none."""

    id: str
    version: int
    text: bytes
    uploads: tuple[Upload, ...]
    replies: int


@reads
def viewer_draft(db: sqlite3.Connection, now: float, grant_id: str) -> Draft | None:
    """The draft of this grant with its files, in the order in which they came. ``replies`` were sent in this cycle."""
    row = db.execute(
        "SELECT d.id, d.version, d.text, coalesce(t.replies, 0) FROM viewer_draft d"
        " JOIN viewer_grant g ON g.id = d.grant_id LEFT JOIN viewer_thread t ON t.id = g.thread WHERE d.grant_id = ?",
        (grant_id,),
    ).fetchone()
    if row is None:
        return None
    uploads = db.execute(
        "SELECT id, name, type, size, organisation, epoch, wrapped_key, body_file, body_offset, body_length"
        " FROM viewer_upload WHERE grant_id = ? ORDER BY number",
        (grant_id,),
    )
    return Draft(row[0], row[1], row[2], tuple(_upload(*one) for one in uploads), row[3])


def _upload(
    id: str, name: bytes, type: str, size: int, organisation: str, epoch: str, key: bytes, *place: str | int
) -> Upload:
    body = msgspec.convert(place, BlobRef)
    return Upload(
        id=id, name=name, type=type, size=size, organisation=organisation, epoch=epoch, wrapped_key=key, body=body
    )


@writes
def viewer_draft_keep(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, form: str, text: bytes
) -> bytes | None:
    """Keep the text of this form: None when that was done, else the text that this form has sent already, sealed, and
    nothing was changed. Raises Conflict when the session has ended."""
    _running(db, now, grant_id, browser)
    sent = db.execute("SELECT text FROM viewer_sent WHERE grant_id = ? AND form = ?", (grant_id, form)).fetchone()
    if sent is not None:
        return bytes(sent[0])
    db.execute(
        "INSERT INTO viewer_draft (grant_id, id, text) VALUES (?, ?, ?) ON CONFLICT (grant_id)"
        " DO UPDATE SET text = excluded.text, version = version + 1",
        (grant_id, form, text),
    )
    return None


@writes
def viewer_upload_begin(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, size: int) -> None:
    """Count ``size`` octets before they come, whatever becomes of them. Raises LimitReached beyond a day's share, and
    Conflict when the session has ended."""
    _running(db, now, grant_id, browser)
    hour = int(now // HOUR)
    (so_far,) = db.execute(
        "SELECT coalesce(sum(size), 0) FROM viewer_arrived WHERE grant_id = ? AND hour > ?", (grant_id, hour - 24)
    ).fetchone()
    if so_far + size > DAILY_SIZE:
        raise LimitReached("this message had its share of files for a day")
    db.execute(
        "INSERT INTO viewer_arrived (grant_id, hour, size) VALUES (?, ?, ?)"
        " ON CONFLICT (grant_id, hour) DO UPDATE SET size = size + excluded.size",
        (grant_id, hour, size),
    )


@writes
def viewer_upload_keep(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, upload: Upload) -> None:
    """Add a file whose body is durable. Raises LimitReached when there are too many or too large ones, and Conflict
    when the session has ended."""
    _running(db, now, grant_id, browser)
    count, size, last = db.execute(
        "SELECT count(*), coalesce(sum(size), 0), coalesce(max(number), 0) FROM viewer_upload WHERE grant_id = ?",
        (grant_id,),
    ).fetchone()
    if count >= FILES or size + upload.size > FILES_SIZE:
        raise LimitReached("too many or too large files")
    db.execute(
        "INSERT INTO viewer_upload (id, grant_id, number, name, type, size, organisation, epoch, wrapped_key,"
        " body_file, body_offset, body_length) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(upload.id, grant_id, last + 1, upload.name, upload.type, upload.size, upload.organisation, upload.epoch),
            *(upload.wrapped_key, upload.body.file, upload.body.offset, upload.body.length),
        ),
    )
    # Its draft may have been sent while it arrived: then another one begins.
    db.execute(
        "INSERT INTO viewer_draft (grant_id, id, text) VALUES (?, ?, x'') ON CONFLICT (grant_id)"
        " DO UPDATE SET version = version + 1",
        (grant_id, upload.id),
    )


@writes
def viewer_upload_remove(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, upload_id: str) -> None:
    """Take a file back. Its octets stay sealed, without a key, until their file is swept."""
    _running(db, now, grant_id, browser)
    db.execute("DELETE FROM viewer_upload WHERE grant_id = ? AND id = ?", (grant_id, upload_id))
    db.execute("UPDATE viewer_draft SET version = version + 1 WHERE grant_id = ?", (grant_id,))


@writes
def viewer_reply(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, form: str, draft_id: str, version: int
) -> None:
    """The draft becomes a reply, in the transaction that accepts it: it is counted, and gone. ``form`` is the one that
    was sent.

    Raises LimitReached when this cycle's replies are used up (of two at once the first wins), and Conflict when the
    draft was sent already, has changed since it was read, or the session has ended.
    """
    grant = _running(db, now, grant_id, browser)
    draft = db.execute(
        "DELETE FROM viewer_draft WHERE grant_id = ? AND id = ? AND version = ? RETURNING text",
        (grant_id, draft_id, version),
    ).fetchone()
    if draft is None:
        raise Conflict("this draft isn't there any more, or isn't as it was")
    counted = db.execute(
        "INSERT INTO viewer_thread (id, replies, expires_at) VALUES (?, 1, ?)"
        " ON CONFLICT (id) DO UPDATE SET replies = replies + 1 WHERE replies < ?",
        (grant.thread, grant.expires_at, REPLIES),
    )
    if not counted.rowcount:
        raise LimitReached("the replies of this cycle are used up")
    db.execute("DELETE FROM viewer_upload WHERE grant_id = ?", (grant_id,))
    db.executemany(
        "INSERT INTO viewer_sent (grant_id, form, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(grant_id, one, draft[0]) for one in {form, draft_id}],
    )
    journal(db, now, grant_id, kinds.REPLIED)


def sweep(db: sqlite3.Connection, now: float) -> None:
    """Counts that count no more."""
    db.execute("DELETE FROM viewer_arrived WHERE hour <= ?", (int(now // HOUR) - 24,))


def _running(db: sqlite3.Connection, now: float, grant_id: str, browser: bytes) -> Grant:
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or not session_runs(db, now, grant_id, browser):
        raise Conflict("the session has ended")
    return grant
