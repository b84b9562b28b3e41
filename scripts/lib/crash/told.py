"""What relayd says became of each recipient: its queue and its journal, read at rest."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Recipient:
    """One recipient of one message. ``arrivals`` counts the journal's records that it was delivered."""

    number: int
    state: str
    arrivals: int = 0


@dataclass
class Told:
    """Recipients by address, by what relayd calls the message. ``reported`` are messages whose journal says that a
    report went to the sender; recipients of which that is said together share one record."""

    messages: dict[str, dict[str, Recipient]] = field(default_factory=lambda: defaultdict(dict))
    reported: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Told:
        told = cls()
        for queue_id, address, number, state in db.execute("SELECT message_id, recipient, number, state FROM delivery"):
            told.messages[queue_id][address] = Recipient(number, state)
        query = "SELECT message_id, recipient, kind FROM event WHERE kind IN ('delivered', 'relayed', 'reported')"
        for queue_id, address, kind in db.execute(query):
            if kind == "reported":
                told.reported.add(queue_id)
            elif (recipient := told.of(queue_id, address)) is not None:
                recipient.arrivals += 1
        return told

    def of(self, queue_id: str, address: str) -> Recipient | None:
        """What is said of one recipient, None when nothing is."""
        return self.messages.get(queue_id, {}).get(address)
