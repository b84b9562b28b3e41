"""Deliveries that nobody would come to: owned by a living worker without its knowing, since a commit's confirmation was
lost on the way back; or due at a time that came from a clock that was ahead."""

from __future__ import annotations

import sqlite3

from relayd.store.operation import writes


@writes
def free_strays(db: sqlite3.Connection, now: float, owner: str, before: float, known: list[tuple[str, int]]) -> int:
    """Free what ``owner`` has had since before ``before`` and doesn't name in ``known``; returns how many."""
    owned = db.execute("SELECT message_id, number FROM delivery WHERE owner = ? AND updated_at < ?", (owner, before))
    strays = {(message_id, number) for message_id, number in owned.fetchall()} - {(m, n) for m, n in known}
    for message_id, number in strays:
        db.execute(
            "UPDATE delivery SET owner = NULL, generation = generation + 1, updated_at = ? "
            "WHERE message_id = ? AND number = ? AND owner = ?",
            (now, message_id, number, owner),
        )
    return len(strays)


@writes
def bring_forward(db: sqlite3.Connection, now: float, latest: float) -> int:
    """Make due now what is due after ``latest``, which is further away than any wait; returns how many."""
    changed = db.execute(
        "UPDATE delivery SET next_attempt = ? "
        "WHERE owner IS NULL AND state IN ('queued', 'undecided') AND next_attempt > ?",
        (now, latest),
    )
    return changed.rowcount
