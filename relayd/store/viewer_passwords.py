"""What opens with a word instead of a code: the sender's access code, and the password of whoever passed a message
on."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Final

import msgspec

from relayd.errors import Conflict, LimitReached
from relayd.journal import kinds
from relayd.store.access_codes import SECRET_PAUSE, SECRET_TRIES, SECRET_TRIES_BEFORE_PAUSE
from relayd.store.operation import reads, writes
from relayd.store.viewer_codes import begin_session
from relayd.store.viewer_tables import Channel, Due, due, grant_where, journal, session_runs

#: How often one message may be passed on.
FORWARDS: Final = 2

SCHEMA: Final = """
-- What a reader passed on, under the name of the form that he sent. "copy" is the message that came to be, '' for mail
-- into a mailbox; "proof" is known to the browser that sent the form.
CREATE TABLE IF NOT EXISTS viewer_passed_on (
    grant_id TEXT NOT NULL,
    form TEXT NOT NULL,
    copy TEXT NOT NULL,
    proof BLOB NOT NULL,
    PRIMARY KEY (grant_id, form)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS viewer_passed_on_end AFTER UPDATE OF recipient ON viewer_grant WHEN NEW.recipient = ''
BEGIN
    DELETE FROM viewer_passed_on WHERE grant_id = NEW.id;
END;
"""


class PassedOn(msgspec.Struct, frozen=True):
    """The id of the copy, "" for mail into a mailbox, and the sender's proof of what he wrote."""

    copy: str
    proof: bytes


class Try(StrEnum):
    """What comes of a try: ALLOWED may be looked at. PAUSED: too many wrong ones, wait. LOCKED: for good, until the
    sender unlocks it. GONE: no such grant, or no longer."""

    ALLOWED = "allowed"
    PAUSED = "paused"
    LOCKED = "locked"
    GONE = "gone"


@writes
def viewer_secret_try(db: sqlite3.Connection, now: float, grant_id: str) -> Try:
    """Count a try before it is looked at, so that many at once can't pass the limit together."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now):
        return Try.GONE
    if grant.locked:
        return Try.LOCKED
    if now < grant.locked_until:
        return Try.PAUSED
    tries = grant.failures + 1
    pause = now + SECRET_PAUSE if tries % SECRET_TRIES_BEFORE_PAUSE == 0 else 0.0
    db.execute("UPDATE viewer_grant SET failures = ?, locked_until = ? WHERE id = ?", (tries, pause, grant_id))
    return Try.ALLOWED


@writes
def viewer_secret_untried(db: sqlite3.Connection, now: float, grant_id: str) -> None:
    """The try that was counted couldn't be looked at, and so told nobody anything: it counts no more."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or not grant.failures:
        return
    pause = 0.0 if grant.failures % SECRET_TRIES_BEFORE_PAUSE == 0 else grant.locked_until
    db.execute(
        "UPDATE viewer_grant SET failures = ?, locked_until = ? WHERE id = ?", (grant.failures - 1, pause, grant_id)
    )


@writes
def viewer_secret_wrong(db: sqlite3.Connection, now: float, grant_id: str) -> None:
    """The try that was counted was wrong: the journal and, at the last one, the sender hear of it."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now):
        return
    journal(db, now, grant_id, kinds.WRONG_CODE, {"channel": grant.channel.value})
    if grant.failures == SECRET_TRIES and due(db, now, grant_id, Due.LOCKED):
        journal(db, now, grant_id, kinds.LOCKED)


@writes
def viewer_secret_right(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, new_browser: bytes, key: bytes | None
) -> bool:
    """Begin the session under a fresh cookie; ``key`` is the message's, sealed for that cookie, where a password made
    it. False when the grant has ended meanwhile, or opens by a code now."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or grant.ended(now) or grant.channel not in (Channel.ACCESS_CODE, Channel.PASSWORD):
        return False
    db.execute("UPDATE viewer_grant SET failures = 0, spent_codes = 0, locked_until = 0 WHERE id = ?", (grant_id,))
    begin_session(db, now, grant_id, browser, new_browser, key)
    journal(db, now, grant_id, kinds.VERIFIED, {"channel": grant.channel.value})
    return True


@writes
def viewer_pass_on(
    db: sqlite3.Connection, now: float, grant_id: str, browser: bytes, form: str, proof: bytes, facts: dict[str, str]
) -> None:
    """Count that the message is passed on, in the transaction that does it. ``form`` names the form that was sent: the
    same one again is a Conflict, as is a session that has ended. Raises LimitReached at the third time. ``facts`` go
    into the journal; "message" is the copy's."""
    grant = grant_where(db, "id = ?", grant_id)
    if grant is None or not session_runs(db, now, grant_id, browser):
        raise Conflict("the session has ended")
    fresh = db.execute(
        "INSERT INTO viewer_passed_on (grant_id, form, copy, proof) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (grant_id, form, facts.get("message", ""), proof),
    )
    if not fresh.rowcount:
        raise Conflict("this form was sent already")
    if grant.forwards >= FORWARDS:
        raise LimitReached("it was passed on as often as it may be")
    db.execute("UPDATE viewer_grant SET forwards = forwards + 1 WHERE id = ?", (grant_id,))
    journal(db, now, grant_id, kinds.PASSED_ON, facts)


@reads
def viewer_passed_on(db: sqlite3.Connection, now: float, grant_id: str, form: str) -> PassedOn | None:
    """What came of this form, if it was sent."""
    row = db.execute(
        "SELECT copy, proof FROM viewer_passed_on WHERE grant_id = ? AND form = ?", (grant_id, form)
    ).fetchone()
    return None if row is None else PassedOn(*row)
