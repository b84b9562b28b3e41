"""How much waits in the queue, for metrics. It walks over the queue's partial indexes and nothing else."""

from __future__ import annotations

import sqlite3

import msgspec

from relayd.store.operation import reads


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries that wait for their time or for a worker, that a worker has in hand, that wait for an operator.
    ``next_due`` is when the first of those waiting is to be tried, ``oldest`` when the oldest message among them was
    received: unix times, None when nothing waits."""

    waiting: int = 0
    in_hand: int = 0
    held: int = 0
    next_due: float | None = None
    oldest: float | None = None


@reads
def queue_measure(db: sqlite3.Connection, now: float) -> Measured:
    """Measure the queue."""
    # Ids sort by time, so the smallest belongs to the oldest message.
    waiting, next_due, oldest = db.execute(
        "SELECT count(*), min(next_attempt), min(message_id) FROM delivery "
        "WHERE owner IS NULL AND state IN ('queued', 'undecided')"
    ).fetchone()
    received = db.execute("SELECT received_at FROM message WHERE id = ?", (oldest,)).fetchone()
    return Measured(
        waiting=waiting,
        in_hand=db.execute("SELECT count(*) FROM delivery WHERE owner IS NOT NULL").fetchone()[0],
        held=db.execute("SELECT count(*) FROM delivery WHERE state = 'held'").fetchone()[0],
        next_due=next_due,
        oldest=received[0] if received else None,
    )
