"""Proof that the database works, for who asks."""

from __future__ import annotations

import sqlite3

from relayd.store.operation import writes


@writes
def write_probe(db: sqlite3.Connection, now: float) -> None:
    """Look at what every delivery needs, and write down, durably, that somebody asked."""
    db.execute("SELECT m.id FROM delivery d JOIN message m ON m.id = d.message_id LIMIT 1").fetchone()
    db.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('probe', ?)", (str(now),))
