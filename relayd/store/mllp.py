"""Which messages came by MLLP lately, so that one sent again is answered as it was the first time."""

from __future__ import annotations

import sqlite3
from typing import Final

from relayd.errors import Conflict
from relayd.store.operation import reads, writes

#: Seconds in which a sender may repeat a message: longer than any weekend without a connection.
LIFE: Final = 14 * 86400.0

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS mllp_taken (
    name BLOB PRIMARY KEY,
    content BLOB NOT NULL,
    message_id TEXT NOT NULL,
    taken_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mllp_taken_at ON mllp_taken (taken_at);
"""


@writes
def mllp_take(db: sqlite3.Connection, now: float, name: bytes, content: bytes, message_id: str) -> None:
    """Note a message in the transaction that accepts it. ``name`` stands for its organisation, MSH-3, MSH-4 and MSH-10,
    ``content`` for its octets.

    Raises Conflict when it was taken before. The same name with other octets is another message: its sender counts
    anew, and what it sends isn't lost for that.
    """
    db.execute("DELETE FROM mllp_taken WHERE taken_at < ?", (now - LIFE,))
    if mllp_taken(db, now, name, content) is not None:
        raise Conflict("this message was taken before")
    db.execute("INSERT OR REPLACE INTO mllp_taken VALUES (?, ?, ?, ?)", (name, content, message_id, now))


@reads
def mllp_taken(db: sqlite3.Connection, now: float, name: bytes, content: bytes) -> str | None:
    """The id under which exactly this was taken, if it was."""
    row = db.execute(
        "SELECT message_id FROM mllp_taken WHERE name = ? AND content = ? AND taken_at > ?", (name, content, now - LIFE)
    ).fetchone()
    return None if row is None else str(row[0])
