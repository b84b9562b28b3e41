"""Who works on which delivery: claims, settlements, leases. Functions on the writing connection.

A claim raises the delivery's generation. A settlement counts only under the generation it was claimed with, and raises
it again, so that the same settlement sent twice counts once. A worker's lease is one row, measured by the store's own
boot clock; when it runs out everything the worker owns is free for others at its ``next_attempt``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from relayd.errors import Conflict, NotFound
from relayd.journal.event import Event
from relayd.store.dispatch import bind, find, perform
from relayd.store.records import OPEN_STATES, Claimed, Delivery, Message, NewMessage, Settlement, State
from relayd.store.tables import (
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    delivery_of,
    event_of,
    insert_events,
    insert_messages,
    message_of,
)

#: The lease of a worker that has yet to send its first heartbeat.
FIRST_LEASE: Final = 60.0

# The condition is word for word that of the index delivery_due.
_WAITING: Final = "owner IS NULL AND state IN ('queued', 'undecided')"
_DUE: Final = (
    f"SELECT {DELIVERY_COLUMNS} FROM delivery WHERE {_WAITING} AND next_attempt <= ? ORDER BY next_attempt LIMIT ?"  # noqa: S608
)
_CLAIM: Final = (
    "UPDATE delivery SET owner = ?, generation = ?, next_attempt = ?, updated_at = ? "
    "WHERE message_id = ? AND number = ? AND owner IS NULL"
)
_SETTLE: Final = (
    "UPDATE delivery SET state = ?, next_attempt = ?, attempts = attempts + ?, "
    "last_reply = coalesce(nullif(?, ''), last_reply), delayed_notice = coalesce(?, delayed_notice), "
    "route = coalesce(?, route), target = coalesce(?, target), message_class = coalesce(?, message_class), "
    "copy = coalesce(?, copy), owner = NULL, generation = generation + 1, updated_at = ? "
    "WHERE message_id = ? AND number = ? AND generation = ? AND state IN ('queued', 'undecided', 'held')"
)
_LEASE: Final = (
    "INSERT INTO worker (owner, expires, freed) VALUES (?, ?, 0) "
    "ON CONFLICT (owner) DO UPDATE SET expires = excluded.expires"
)


def claim(db: sqlite3.Connection, owner: str, now: float, limit: int, busy_until: float, boot: float) -> list[Claimed]:
    """Own up to ``limit`` due deliveries, grouped by message."""
    expire(db, boot)
    lease(db, [owner], boot)
    due = [delivery_of(row) for row in db.execute(_DUE, (now, limit))]
    db.executemany(_CLAIM, [(owner, one.generation + 1, busy_until, now, one.message_id, one.number) for one in due])
    grouped: dict[str, list[Delivery]] = {}
    for one in due:
        grouped.setdefault(one.message_id, []).append(_claimed(one, owner, busy_until, now))
    return [Claimed(message(db, message_id), tuple(deliveries)) for message_id, deliveries in grouped.items()]


def _claimed(one: Delivery, owner: str, busy_until: float, now: float) -> Delivery:
    return msgspec.structs.replace(
        one, owner=owner, generation=one.generation + 1, next_attempt=busy_until, updated_at=now
    )


def settle(db: sqlite3.Connection, settlements: Sequence[Settlement], now: float, boot: float) -> list[bool]:
    """Record what became of claimed deliveries; False where the generation had moved on."""
    return [_settle_one(db, settlement, now, boot) for settlement in settlements]


def _settle_one(db: sqlite3.Connection, settlement: Settlement, now: float, boot: float) -> bool:
    if settlement.meta is not None and _overtaken(db, settlement):
        settlement = _undecided_again(settlement, now)
    values = (
        settlement.state.value,
        settlement.next_attempt if settlement.state in OPEN_STATES else 0.0,
        settlement.counts_as_attempt,
        settlement.last_reply,
        settlement.delayed_notice,
        settlement.route,
        settlement.target,
        settlement.message_class,
        settlement.copy,
        now,
        settlement.message_id,
        settlement.number,
        settlement.generation,
    )
    if db.execute(_SETTLE, values).rowcount != 1:
        return False
    if settlement.meta is not None:
        db.execute("UPDATE message SET meta = ? WHERE id = ?", (settlement.meta, settlement.message_id))
    if settlement.events:
        insert_events(db, settlement.message_id, settlement.events)
    insert(db, settlement.follow_ups, boot)
    _perform_all(db, settlement.operations, now)
    return True


def commit(
    db: sqlite3.Connection,
    messages: Sequence[NewMessage],
    operations: Iterable[tuple[str, dict[str, Any]]],
    now: float,
    boot: float,
) -> None:
    """Messages and operations as one, once: asked again with the same first message, nothing happens."""
    if already_there(db, messages[0]):
        return
    insert(db, messages, boot)
    _perform_all(db, operations, now)


def already_there(db: sqlite3.Connection, message: NewMessage) -> bool:
    """An accept whose answer was lost is sent again and is no error; the same id for another message is."""
    row = db.execute("SELECT wrapped_key FROM message WHERE id = ?", (message.id,)).fetchone()
    if row is not None and row[0] != message.wrapped_key:
        raise Conflict(f"message id {message.id} is taken")
    return row is not None


def insert(db: sqlite3.Connection, messages: Sequence[NewMessage], boot: float) -> None:
    """New messages, with the leases of those who own their deliveries from the start."""
    if messages:
        lease(db, owners_of(messages), boot)
        insert_messages(db, list(messages))


def _perform_all(db: sqlite3.Connection, operations: Iterable[tuple[str, dict[str, Any]]], now: float) -> None:
    for name, arguments in operations:
        operation = find(name)
        perform(operation, db, now, bind(operation, arguments))


def _overtaken(db: sqlite3.Connection, settlement: Settlement) -> bool:
    """Whether somebody else has changed the message's meta. Settlements of one judgement bring the same new one."""
    stored = db.execute("SELECT meta FROM message WHERE id = ?", (settlement.message_id,)).fetchone()
    return stored is not None and stored[0] not in (settlement.meta_before, settlement.meta)


def _undecided_again(settlement: Settlement, now: float) -> Settlement:
    """What to record of a judgement that was made from a meta of yesterday: nothing of it."""
    return Settlement(
        message_id=settlement.message_id,
        number=settlement.number,
        generation=settlement.generation,
        state=State.UNDECIDED,
        next_attempt=now,
        counts_as_attempt=False,
    )


def next_due(db: sqlite3.Connection) -> float | None:
    """When the first delivery that nobody owns is due."""
    found: float | None = db.execute(f"SELECT min(next_attempt) FROM delivery WHERE {_WAITING}").fetchone()[0]  # noqa: S608
    return found


def lease(db: sqlite3.Connection, owners: Iterable[str], boot: float) -> None:
    """Make sure that the lease of each of these runs, since they are about to own something."""
    running = {owner for (owner,) in db.execute("SELECT owner FROM worker WHERE expires IS NOT NULL")}
    db.executemany(_LEASE, [(owner, boot + FIRST_LEASE) for owner in owners if owner not in running])


def owners_of(messages: Iterable[Any]) -> set[str]:
    """Who owns deliveries of these new messages from the start."""
    return {one.owner for message in messages for one in message.deliveries if one.owner is not None}


def heartbeat(db: sqlite3.Connection, owner: str, boot: float, length: float) -> bool:
    """Renew a lease. False when it had run out, once."""
    expire(db, boot)
    row = db.execute("SELECT freed FROM worker WHERE owner = ?", (owner,)).fetchone()
    db.execute("INSERT OR REPLACE INTO worker (owner, expires, freed) VALUES (?, ?, 0)", (owner, boot + length))
    return row is None or not row[0]


def expire(db: sqlite3.Connection, boot: float) -> int:
    """Free what belongs to workers whose lease ran out; returns how many deliveries."""
    late = db.execute("SELECT owner FROM worker WHERE expires <= ?", (boot,)).fetchall()
    return sum(free(db, owner) for (owner,) in late)


def free(db: sqlite3.Connection, owner: str) -> int:
    """Free everything that ``owner`` has, and remember to tell it should it still live."""
    freed = db.execute("UPDATE delivery SET owner = NULL WHERE owner = ?", (owner,)).rowcount
    db.execute("INSERT OR REPLACE INTO worker (owner, expires, freed) VALUES (?, NULL, 1)", (owner,))
    return freed


def free_all_after_reboot(db: sqlite3.Connection, boot_id: str) -> None:
    """After a boot no worker of before lives, and its leases name times of another clock."""
    row = db.execute("SELECT value FROM fact WHERE name = 'boot'").fetchone()
    if row is not None and row[0] == boot_id:
        return
    db.execute("UPDATE delivery SET owner = NULL WHERE owner IS NOT NULL")
    db.execute("DELETE FROM worker")
    db.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('boot', ?)", (boot_id,))


def message(db: sqlite3.Connection, message_id: str) -> Message:
    """One message; NotFound without it."""
    row = db.execute(f"SELECT {MESSAGE_COLUMNS} FROM message WHERE id = ?", (message_id,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound(f"there is no message {message_id}")
    return message_of(row)


def deliveries(db: sqlite3.Connection, message_id: str) -> list[Delivery]:
    """A message's deliveries in the order of their numbers."""
    found = db.execute(
        f"SELECT {DELIVERY_COLUMNS} FROM delivery WHERE message_id = ? ORDER BY number",  # noqa: S608
        (message_id,),
    )
    return [delivery_of(row) for row in found]


def journal(db: sqlite3.Connection, message_id: str) -> list[Event]:
    """A message's journal in the order in which it was written: a clock may be set back in between."""
    found = db.execute(
        "SELECT at, kind, recipient, facts FROM event WHERE message_id = ? ORDER BY sequence", (message_id,)
    )
    return [event_of(row) for row in found]
