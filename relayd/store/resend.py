"""Sending a kept message again: what its recipients lost, while its key still exists."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.store.operation import writes
from relayd.store.records import OPEN_STATES, State
from relayd.store.tables import insert_events


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. ``waiting`` recipients have a delivery that is still open; ``unknown`` ones never had one.
    ``forgotten`` says that the message's key is gone: nobody can send it any more."""

    recipients: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    forgotten: bool = False


#: A new delivery after the pattern of an old one; without a route it is judged for one first.
_AGAIN: Final = """
INSERT INTO delivery (message_id, number, recipient, domain, state, route, target, message_class, copy, notify, orcpt,
                      next_attempt, attempts, owner, generation, delayed_notice, last_reply, updated_at)
SELECT message_id, (SELECT max(number) + 1 FROM delivery WHERE message_id = old.message_id), recipient, domain,
       CASE route WHEN '' THEN 'undecided' ELSE 'queued' END, route, target, message_class, copy, notify, orcpt,
       :now, 0, NULL, 0, 1, '', :now
FROM delivery old WHERE message_id = :message_id AND number = :number
"""


@writes
def message_resend(db: sqlite3.Connection, now: float, message_id: str, recipients: list[str], reason: str) -> Resent:
    """Deliver the message once more to ``recipients``, all of its own when empty. The old deliveries stay as they
    are."""
    row = db.execute("SELECT wrapped_key FROM message WHERE id = ?", (message_id,)).fetchone()
    if row is None or not row[0]:
        return Resent(forgotten=True)
    latest: dict[str, tuple[int, str]] = {}
    for number, recipient, state in db.execute(
        "SELECT number, recipient, state FROM delivery WHERE message_id = ? ORDER BY number", (message_id,)
    ):
        latest[recipient] = (number, state)
    wanted = recipients or list(latest)
    unknown = tuple(one for one in wanted if one not in latest)
    waiting = tuple(one for one in wanted if one in latest and State(latest[one][1]) in OPEN_STATES)
    again = [one for one in dict.fromkeys(wanted) if one not in unknown and one not in waiting]
    for one in again:
        db.execute(_AGAIN, {"now": now, "message_id": message_id, "number": latest[one][0]})
    insert_events(db, message_id, [Event(now, kinds.RESENT, one, {"reason": reason}) for one in again])
    return Resent(recipients=tuple(again), waiting=waiting, unknown=unknown)
