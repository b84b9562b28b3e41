"""Copies whose content was made anew after the commit: kept once, and the same for every try."""

from __future__ import annotations

import sqlite3

import msgspec

from relayd.errors import NotFound
from relayd.journal.event import Event
from relayd.store.operation import reads, writes
from relayd.store.records import BlobRef
from relayd.store.tables import insert_events


class DerivedCopy(msgspec.Struct, frozen=True):
    """One copy. ``body`` is sealed under the message's key, part "copy:<number>"; its file is "" where the copy can't
    be made. ``meta`` is a sealed ``relayd.mail.meta.Derived``, ``size`` is in octets, unsealed."""

    size: int
    body: BlobRef
    meta: bytes

    @property
    def made(self) -> bool:
        return bool(self.body.file)


#: What stands for a copy that can't be made.
NOT_MADE = DerivedCopy(0, BlobRef("", 0, 0), b"")


@reads
def derived_copy(db: sqlite3.Connection, now: float, message_id: str, copy: int) -> DerivedCopy | None:
    """None while nobody has made it."""
    row = db.execute(
        "SELECT size, body_file, body_offset, body_length, meta FROM derived WHERE message_id = ? AND copy = ?",
        (message_id, copy),
    ).fetchone()
    return None if row is None else DerivedCopy(row[0], BlobRef(*row[1:4]), row[4])


@writes
def derived_keep(
    db: sqlite3.Connection, now: float, message_id: str, copy: int, derived: DerivedCopy, events: list[Event]
) -> bool:
    """Keep a copy whose body is durable, with what the journal says of it. False when another worker was faster, and
    nothing was changed. Raises NotFound when the message is gone or has had its retention day."""
    if db.execute("SELECT 1 FROM message WHERE id = ? AND wrapped_key != x''", (message_id,)).fetchone() is None:
        raise NotFound(f"there is no message {message_id}, or no longer")
    kept = db.execute(
        "INSERT INTO derived (message_id, copy, size, body_file, body_offset, body_length, meta) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            *(message_id, copy, derived.size, derived.body.file, derived.body.offset, derived.body.length),
            derived.meta,
        ),
    )
    if kept.rowcount:
        insert_events(db, message_id, events)
    return bool(kept.rowcount)
