"""The core tables: messages, deliveries, journal, workers' leases, epochs.

Indexes are few, since each costs on every accept: the queue's are partial and hold only what waits, so a message that
is accepted with an owner and delivered at once touches them hardly at all.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from relayd.journal.event import Event
from relayd.store.records import BlobRef, Delivery, Message, NewDelivery, NewMessage, State

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS message (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    received_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    sender TEXT NOT NULL,
    size INTEGER NOT NULL,
    origin TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,          -- empty once its retention day has come
    body_file TEXT NOT NULL,
    body_offset INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    meta BLOB NOT NULL,
    smtputf8 INTEGER NOT NULL,
    body_type TEXT NOT NULL,
    ret TEXT,
    envid TEXT,
    account TEXT,
    parent TEXT,
    require_tls INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_epoch ON message (epoch, organisation, expires_at);
CREATE INDEX IF NOT EXISTS message_file ON message (body_file);
CREATE INDEX IF NOT EXISTS message_sender ON message (sender COLLATE NOCASE);

CREATE TABLE IF NOT EXISTS delivery (
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL,
    route TEXT NOT NULL,
    target TEXT NOT NULL,
    message_class TEXT NOT NULL,
    copy INTEGER NOT NULL,
    notify TEXT,
    orcpt TEXT,
    next_attempt REAL NOT NULL,
    attempts INTEGER NOT NULL,
    owner TEXT,
    generation INTEGER NOT NULL,
    delayed_notice INTEGER NOT NULL,
    last_reply TEXT NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (next_attempt)
    WHERE owner IS NULL AND state IN ('queued', 'undecided');
CREATE INDEX IF NOT EXISTS delivery_owned ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_held ON delivery (message_id) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS delivery_recipient ON delivery (recipient COLLATE NOCASE);

-- Copies whose content was made anew, sealed under their message's key. One that couldn't be made has no file: it goes
-- out as it came.
CREATE TABLE IF NOT EXISTS derived (
    message_id TEXT NOT NULL,
    copy INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body_file TEXT NOT NULL,
    body_offset INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    meta BLOB NOT NULL,
    PRIMARY KEY (message_id, copy)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS derived_file ON derived (body_file);

-- The journal. What isn't about one message has the empty message_id.
CREATE TABLE IF NOT EXISTS event (
    sequence INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    facts TEXT NOT NULL                 -- JSON
);
CREATE INDEX IF NOT EXISTS event_message ON event (message_id);

-- Leases by the machine's boot clock. expires is NULL when nothing runs; freed when the worker has yet to be told.
CREATE TABLE IF NOT EXISTS worker (
    owner TEXT NOT NULL PRIMARY KEY,
    expires REAL,
    freed INTEGER NOT NULL
) WITHOUT ROWID;

-- Epochs whose key is being destroyed ('due') or is gone ('destroyed').
CREATE TABLE IF NOT EXISTS epoch (
    organisation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    state TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (organisation, epoch)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS fact (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""

MESSAGE_COLUMNS: Final = (
    "id, organisation, epoch, received_at, expires_at, sender, size, origin, wrapped_key, body_file, body_offset, "
    "body_length, meta, smtputf8, body_type, ret, envid, account, parent, "
    "require_tls"
)
DELIVERY_COLUMNS: Final = (
    "message_id, number, recipient, domain, state, route, target, message_class, copy, notify, orcpt, next_attempt, "
    "attempts, owner, generation, delayed_notice, last_reply, updated_at"
)
# Three branches, so that each uses its partial index and nothing walks over what was delivered long ago.
OPEN_PLACES: Final = (
    "SELECT message_id, number FROM delivery WHERE owner IS NULL AND state IN ('queued', 'undecided') "
    "UNION SELECT message_id, number FROM delivery WHERE owner IS NOT NULL "
    "UNION SELECT message_id, number FROM delivery WHERE state = 'held'"
)
#: Whether a body file is anybody's: a message's, a copy's that was made anew, or a file's that a reader has added to an
#: answer.
FILE_IS_USED: Final = (
    "SELECT 1 FROM message WHERE body_file = ?1 UNION ALL SELECT 1 FROM viewer_upload WHERE body_file = ?1 "
    "UNION ALL SELECT 1 FROM derived WHERE body_file = ?1 LIMIT 1"
)
_INSERT_MESSAGE: Final = f"INSERT INTO message ({MESSAGE_COLUMNS}) VALUES ({', '.join('?' * 20)})"  # noqa: S608
_INSERT_DELIVERY: Final = f"INSERT INTO delivery ({DELIVERY_COLUMNS}) VALUES ({', '.join('?' * 18)})"  # noqa: S608
_INSERT_EVENT: Final = "INSERT INTO event (message_id, at, kind, recipient, facts) VALUES (?, ?, ?, ?, ?)"

_json = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(dict[str, Any])


def insert_messages(db: sqlite3.Connection, messages: list[NewMessage]) -> None:
    """Messages with their deliveries and events, in three statements for all of them."""
    db.executemany(_INSERT_MESSAGE, [_message_values(message) for message in messages])
    db.executemany(
        _INSERT_DELIVERY, [_delivery_values(message, one) for message in messages for one in message.deliveries]
    )
    db.executemany(_INSERT_EVENT, [_event_values(message.id, one) for message in messages for one in message.events])


def insert_events(db: sqlite3.Connection, message_id: str, events: tuple[Event, ...] | list[Event]) -> None:
    """Journal records of one message ("" for none)."""
    db.executemany(_INSERT_EVENT, [_event_values(message_id, event) for event in events])


def _message_values(message: NewMessage) -> tuple[Any, ...]:
    body = message.body
    return (
        message.id,
        message.organisation,
        message.epoch,
        message.received_at,
        message.expires_at,
        message.sender,
        message.size,
        message.origin,
        message.wrapped_key,
        body.file,
        body.offset,
        body.length,
        message.meta,
        message.smtputf8,
        message.body_type,
        message.ret,
        message.envid,
        message.account,
        message.parent,
        message.require_tls,
    )


def _delivery_values(message: NewMessage, delivery: NewDelivery) -> tuple[Any, ...]:
    return (
        message.id,
        delivery.number,
        delivery.recipient,
        delivery.domain,
        delivery.state.value,
        delivery.route,
        delivery.target,
        delivery.message_class,
        delivery.copy,
        delivery.notify,
        delivery.orcpt,
        delivery.next_attempt,
        0,
        delivery.owner,
        first_generation(delivery),
        0,
        "",
        message.received_at,
    )


def _event_values(message_id: str, event: Event) -> tuple[Any, ...]:
    return message_id, event.at, event.kind, event.recipient, _json.encode(event.facts).decode()


def first_generation(delivery: NewDelivery) -> int:
    """1 when it begins with an owner, who has thereby claimed it."""
    return 0 if delivery.owner is None else 1


def message_of(row: tuple[Any, ...]) -> Message:
    """A row of MESSAGE_COLUMNS as a record."""
    return Message(
        id=row[0],
        organisation=row[1],
        epoch=row[2],
        received_at=row[3],
        expires_at=row[4],
        sender=row[5],
        size=row[6],
        origin=row[7],
        wrapped_key=row[8],
        body=BlobRef(row[9], row[10], row[11]),
        meta=row[12],
        smtputf8=bool(row[13]),
        body_type=row[14],
        ret=row[15],
        envid=row[16],
        account=row[17],
        parent=row[18],
        require_tls=bool(row[19]),
    )


def delivery_of(row: tuple[Any, ...]) -> Delivery:
    """A row of DELIVERY_COLUMNS as a record."""
    return Delivery(
        message_id=row[0],
        number=row[1],
        recipient=row[2],
        domain=row[3],
        state=State(row[4]),
        route=row[5],
        target=row[6],
        message_class=row[7],
        copy=row[8],
        notify=row[9],
        orcpt=row[10],
        next_attempt=row[11],
        attempts=row[12],
        owner=row[13],
        generation=row[14],
        delayed_notice=bool(row[15]),
        last_reply=row[16],
        updated_at=row[17],
    )


def event_of(row: tuple[Any, ...]) -> Event:
    """A row of (at, kind, recipient, facts) as a record."""
    return Event(row[0], row[1], row[2], _facts.decode(row[3]))
