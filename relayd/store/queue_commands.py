"""What an operator does to the queue, and how messages are found: operations behind ``relayd queue`` and ``message``.

A delivery that a worker has in hand is left alone and reported as busy: what the worker comes back with is the truth,
and must find its row as it left it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.store.ids import first_id
from relayd.store.operation import reads, writes
from relayd.store.records import Delivery, State
from relayd.store.tables import DELIVERY_COLUMNS, OPEN_PLACES, delivery_of, insert_events


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which open deliveries a command is about: all that match everything given. ``before`` is a unix time."""

    ids: tuple[str, ...] = ()
    domain: str | None = None
    recipient: str | None = None
    sender: str | None = None
    organisation: str | None = None
    state: State | None = None
    before: float | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One open delivery with what an operator asks first about its message."""

    delivery: Delivery
    sender: str
    organisation: str
    received_at: float
    expires_at: float
    size: int


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did. ``busy`` ones are being delivered right now; ``unfit`` ones were in another state."""

    changed: tuple[tuple[str, int], ...] = ()
    busy: tuple[tuple[str, int], ...] = ()
    unfit: tuple[tuple[str, int], ...] = ()


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What messages to find; addresses may end or begin with ``*``. Times are unix."""

    id: str | None = None
    sender: str | None = None
    recipient: str | None = None
    organisation: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 100


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One message found, newest first; ``states`` counts its deliveries."""

    id: str
    received_at: float
    organisation: str
    sender: str
    size: int
    origin: str
    recipients: tuple[str, ...]
    states: dict[str, int]


@reads
def queue_list(db: sqlite3.Connection, now: float, chosen: Chosen, limit: int = 1000) -> list[Waiting]:
    """Open deliveries, those due first at the top."""
    where, values = _conditions(chosen)
    columns = ", ".join(f"d.{name.strip()}" for name in DELIVERY_COLUMNS.split(","))
    rows = db.execute(
        f"SELECT {columns}, m.sender, m.organisation, m.received_at, m.expires_at, m.size "  # noqa: S608
        f"FROM ({OPEN_PLACES}) o JOIN delivery d USING (message_id, number) JOIN message m ON m.id = d.message_id "
        f"WHERE {where} ORDER BY d.next_attempt, d.message_id, d.number LIMIT ?",
        (*values, limit),
    )
    return [
        Waiting(
            delivery=delivery_of(row[:18]),
            sender=row[18],
            organisation=row[19],
            received_at=row[20],
            expires_at=row[21],
            size=row[22],
        )
        for row in rows
    ]


@writes
def queue_retry(db: sqlite3.Connection, now: float, chosen: Chosen) -> Changed:
    """Try these at once."""
    return _change(db, now, chosen, {State.QUEUED, State.UNDECIDED}, None, Event(now, kinds.RETRIED))


@writes
def queue_hold(db: sqlite3.Connection, now: float, chosen: Chosen, reason: str) -> Changed:
    """Stop trying until released."""
    event = Event(now, kinds.HELD, facts={"reason": reason})
    return _change(db, now, chosen, {State.QUEUED, State.UNDECIDED}, State.HELD, event)


@writes
def queue_release(db: sqlite3.Connection, now: float, chosen: Chosen) -> Changed:
    """Let held ones go at once; those without a route are judged for one first."""
    return _change(db, now, chosen, {State.HELD}, State.QUEUED, Event(now, kinds.RELEASED))


@writes
def queue_cancel(db: sqlite3.Connection, now: float, chosen: Chosen, reason: str) -> Changed:
    """Give up on these for good."""
    event = Event(now, kinds.CANCELLED, facts={"reason": reason})
    return _change(db, now, chosen, {State.QUEUED, State.UNDECIDED, State.HELD}, State.CANCELLED, event)


@reads
def message_find(db: sqlite3.Connection, now: float, search: Search) -> list[Found]:
    """Messages by sender, recipient and time, newest first."""
    where, values = ["1"], list[Any]()
    for column, pattern in (("m.sender", search.sender), ("d.recipient", search.recipient)):
        if pattern is not None:
            clause, value = _matches(column, pattern)
            if column == "d.recipient":
                clause = f"m.id IN (SELECT d.message_id FROM delivery d WHERE {clause})"  # noqa: S608
            where.append(clause)
            values.append(value)
    for clause, bound in (
        ("m.id = ?", search.id),
        ("m.organisation = ?", search.organisation),
        ("m.id >= ?", None if search.since is None else first_id(search.since)),
        ("m.id < ?", None if search.until is None else first_id(search.until)),
    ):
        if bound is not None:
            where.append(clause)
            values.append(bound)
    rows = db.execute(
        "SELECT m.id, m.received_at, m.organisation, m.sender, m.size, m.origin FROM message m "  # noqa: S608
        f"WHERE {' AND '.join(where)} ORDER BY m.id DESC LIMIT ?",
        (*values, search.limit),
    ).fetchall()
    return [_found(db, row) for row in rows]


def _found(db: sqlite3.Connection, row: tuple[Any, ...]) -> Found:
    recipients: list[str] = []
    states: dict[str, int] = {}
    for recipient, state in db.execute(
        "SELECT recipient, state FROM delivery WHERE message_id = ? ORDER BY number", (row[0],)
    ):
        recipients.append(recipient)
        states[state] = states.get(state, 0) + 1
    return Found(
        id=row[0],
        received_at=row[1],
        organisation=row[2],
        sender=row[3],
        size=row[4],
        origin=row[5],
        recipients=tuple(recipients),
        states=states,
    )


def _change(
    db: sqlite3.Connection, now: float, chosen: Chosen, fit: set[State], become: State | None, event: Event
) -> Changed:
    """Move the chosen deliveries that are in a ``fit`` state to ``become`` (None keeps it), due at once."""
    changed, busy, unfit = list[tuple[str, int]](), list[tuple[str, int]](), list[tuple[str, int]]()
    for waiting in queue_list(db, now, chosen, limit=-1):
        one = waiting.delivery
        place = (one.message_id, one.number)
        if one.owner is not None:
            busy.append(place)
        elif one.state not in fit:
            unfit.append(place)
        else:
            state = _undecided_if_no_route(become or one.state, one)
            db.execute(
                "UPDATE delivery SET state = ?, next_attempt = ?, generation = generation + 1, updated_at = ? "
                "WHERE message_id = ? AND number = ?",
                (state.value, now, now, *place),
            )
            insert_events(db, one.message_id, [msgspec.structs.replace(event, recipient=one.recipient)])
            changed.append(place)
    return Changed(changed=tuple(changed), busy=tuple(busy), unfit=tuple(unfit))


def _undecided_if_no_route(state: State, delivery: Delivery) -> State:
    return State.UNDECIDED if state is State.QUEUED and not delivery.route else state


def _conditions(chosen: Chosen) -> tuple[str, list[Any]]:
    where, values = ["1"], list[Any]()
    if chosen.ids:
        where.append(f"m.id IN ({', '.join('?' * len(chosen.ids))})")
        values += chosen.ids
    for column, pattern in (
        ("d.domain", chosen.domain),
        ("d.recipient", chosen.recipient),
        ("m.sender", chosen.sender),
    ):
        if pattern is not None:
            clause, value = _matches(column, pattern)
            where.append(clause)
            values.append(value)
    for clause, bound in (
        ("m.organisation = ?", chosen.organisation),
        ("d.state = ?", None if chosen.state is None else chosen.state.value),
        ("m.received_at <= ?", chosen.before),
    ):
        if bound is not None:
            where.append(clause)
            values.append(bound)
    return " AND ".join(where), values


def _matches(column: str, pattern: str) -> tuple[str, str]:
    """A condition for text that equals ``pattern``, where ``*`` stands for anything."""
    if "*" not in pattern:
        return f"{column} = ? COLLATE NOCASE", pattern
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return f"{column} LIKE ? ESCAPE '\\'", escaped
