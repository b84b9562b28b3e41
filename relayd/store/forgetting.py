"""Retention, the rows' side: what has had its day loses its key, and an epoch whose last message has loses its rows.

The order across a crash: ``forget_expired`` empties the keys of messages; ``epoch_is_due`` writes down which epoch
will be destroyed; the caller destroys the epoch's key; ``forget_epoch`` removes the rows. Done again from the start it
ends in the same place.

What is destroyed doesn't come back when a clock that was wrong is set right: after a jump nothing is forgotten for a
while (``clock_is_steady``), so that somebody can notice.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.store.operation import reads, writes
from relayd.store.tables import FILE_IS_USED, OPEN_PLACES, insert_events
from relayd.vault.epochs import epoch_of

_DUE: Final = "due"
_DESTROYED: Final = "destroyed"
_SEEN: Final = "clock seen"
_DOUBTED: Final = "clock doubted until"


#: Seconds between two rounds beyond which the wall clock has jumped, or relayd stood still: nobody can tell which.
JUMP: Final = 25 * 3600.0
#: Seconds that the clock is doubted after that.
DOUBT: Final = 3 * 86400.0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A message that still has open deliveries shortly before its retention day."""

    message_id: str
    organisation: str
    sender: str
    received_at: float
    expires_at: float
    recipients: tuple[str, ...]
    require_tls: bool = False


class Epoch(msgspec.Struct, frozen=True, array_like=True):
    """One organisation's week."""

    organisation: str
    epoch: str


@writes
def clock_is_steady(db: sqlite3.Connection, now: float) -> bool:
    """Whether the wall clock can be trusted to destroy by. To be asked at every round, since it notes the time."""
    seen, doubted_until = _fact(db, _SEEN), _fact(db, _DOUBTED)
    if seen is not None and abs(now - seen) > JUMP:
        doubted_until = now + DOUBT
        _set_fact(db, _DOUBTED, doubted_until)
    _set_fact(db, _SEEN, now)
    return doubted_until is None or now >= doubted_until


@reads
def clock_doubted_until(db: sqlite3.Connection, now: float) -> float | None:
    """When forgetting goes on after a jump of the clock; None when it isn't doubted."""
    doubted_until = _fact(db, _DOUBTED)
    return doubted_until if doubted_until is not None and doubted_until > now else None


@reads
def about_to_expire(db: sqlite3.Connection, now: float, before: float) -> list[Ending]:
    """Messages with open deliveries that expire before then and whose sender hasn't been told."""
    rows = db.execute(
        "SELECT m.id, m.organisation, m.sender, m.received_at, m.expires_at, m.require_tls, d.recipient "  # noqa: S608
        f"FROM ({OPEN_PLACES}) JOIN delivery d USING (message_id, number) JOIN message m ON m.id = d.message_id "
        "WHERE m.expires_at < ? "
        "AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message_id = m.id AND e.kind = ?) ORDER BY m.id, d.number",
        (before, kinds.RETENTION_ENDS),
    )
    found: dict[str, Ending] = {}
    for message_id, organisation, sender, received_at, expires_at, require_tls, recipient in rows:
        earlier = found[message_id].recipients if message_id in found else ()
        found[message_id] = Ending(
            message_id=message_id,
            organisation=organisation,
            sender=sender,
            received_at=received_at,
            expires_at=expires_at,
            recipients=(*earlier, recipient),
            require_tls=bool(require_tls),
        )
    return list(found.values())


@writes
def sender_was_told(db: sqlite3.Connection, now: float, message_id: str) -> None:
    """The sender knows that a held message is about to go."""
    insert_events(db, message_id, [Event(now, kinds.RETENTION_ENDS)])


@writes
def forget_expired(db: sqlite3.Connection, now: float, limit: int = 1000) -> int:
    """Empty key and meta of messages past their retention day, fail what is still open; how many messages."""
    gone: list[str] = []
    for epoch in _epochs(db):
        gone += [
            message_id
            for (message_id,) in db.execute(
                "SELECT id FROM message WHERE epoch = ? AND organisation = ? AND expires_at <= ? "
                "AND wrapped_key != x'' LIMIT ?",
                (epoch.epoch, epoch.organisation, now, limit - len(gone)),
            )
        ]
    for message_id in gone:
        db.execute("UPDATE message SET wrapped_key = x'', meta = x'' WHERE id = ?", (message_id,))
        db.execute("UPDATE derived SET meta = x'' WHERE message_id = ?", (message_id,))
        failed = db.execute(
            "UPDATE delivery SET state = 'failed', owner = NULL, generation = generation + 1, updated_at = ?, "
            "last_reply = 'the end of its retention' "
            "WHERE message_id = ? AND state IN ('queued', 'undecided', 'held') RETURNING recipient",
            (now, message_id),
        ).fetchall()
        events = [Event(now, kinds.FAILED, recipient, {"reason": "retention"}) for (recipient,) in failed]
        insert_events(db, message_id, [*events, Event(now, kinds.KEY_REMOVED)])
    return len(gone)


@reads
def epochs_due(db: sqlite3.Connection, now: float) -> list[Epoch]:
    """Epochs to destroy: the week is over and every message has had its day. Those begun before come first."""
    begun = [Epoch(*row) for row in db.execute("SELECT organisation, epoch FROM epoch WHERE state = ?", (_DUE,))]
    current = epoch_of(now)
    ready = [epoch for epoch in _epochs(db) if epoch.epoch < current and _last_day(db, epoch) <= now]
    return begun + [epoch for epoch in ready if epoch not in begun]


@writes
def epoch_is_due(db: sqlite3.Connection, now: float, epoch: Epoch) -> bool:
    """Write down that this epoch's key is about to be destroyed. False when a message in it still has time."""
    if epoch.epoch >= epoch_of(now) or _last_day(db, epoch) > now:
        return False
    count = db.execute("SELECT count(*) FROM message WHERE epoch = ? AND organisation = ?", _place(epoch)).fetchone()[0]
    db.execute(
        "INSERT INTO epoch (organisation, epoch, state, messages) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (epoch.organisation, epoch.epoch, _DUE, count),
    )
    return True


@writes
def forget_epoch(db: sqlite3.Connection, now: float, epoch: Epoch, limit: int = 500) -> bool:
    """Remove rows of a destroyed epoch, at most ``limit`` messages at a time. True when none is left."""
    ids = db.execute(
        "SELECT id FROM message WHERE epoch = ? AND organisation = ? LIMIT ?", (*_place(epoch), limit)
    ).fetchall()
    db.executemany("DELETE FROM event WHERE message_id = ?", ids)
    db.executemany("DELETE FROM delivery WHERE message_id = ?", ids)
    db.executemany("DELETE FROM derived WHERE message_id = ?", ids)
    db.executemany("DELETE FROM message WHERE id = ?", ids)
    if len(ids) == limit:
        return False
    row = db.execute(
        "UPDATE epoch SET state = ? WHERE epoch = ? AND organisation = ? AND state = ? RETURNING messages",
        (_DESTROYED, *_place(epoch), _DUE),
    ).fetchone()
    if row is not None:
        facts = {"organisation": epoch.organisation, "epoch": epoch.epoch, "messages": row[0]}
        insert_events(db, "", [Event(now, kinds.EPOCH_DESTROYED, facts=facts)])
    return True


@reads
def files_without_rows(db: sqlite3.Connection, now: float, files: list[str]) -> list[str]:
    """Which of these body files no row points at."""
    return [name for name in files if db.execute(FILE_IS_USED, (name,)).fetchone() is None]


def _fact(db: sqlite3.Connection, name: str) -> float | None:
    row = db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    return None if row is None else float(row[0])


def _set_fact(db: sqlite3.Connection, name: str, value: float) -> None:
    db.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (name, repr(value)))


def _place(epoch: Epoch) -> tuple[str, str]:
    return epoch.epoch, epoch.organisation


def _epochs(db: sqlite3.Connection) -> list[Epoch]:
    """All organisations' weeks that have messages, by hops along the index."""
    found: list[Epoch] = []
    place = ("", "")
    query = "SELECT epoch, organisation FROM message WHERE (epoch, organisation) > (?, ?) ORDER BY 1, 2 LIMIT 1"
    while (row := db.execute(query, place).fetchone()) is not None:
        place = row
        found.append(Epoch(row[1], row[0]))
    return found


def _last_day(db: sqlite3.Connection, epoch: Epoch) -> float:
    query = "SELECT max(expires_at) FROM message WHERE epoch = ? AND organisation = ?"
    return float(db.execute(query, _place(epoch)).fetchone()[0] or 0.0)
