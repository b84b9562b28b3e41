"""Operations on the SMS that carry access codes: through which gateway, what became of each, and what looks like fraud.

A row of ``viewer_sms`` is made when the rules let an SMS go out; it lives for a day. The newest of a code is the one on
its way.
"""

from __future__ import annotations

import hashlib
import sqlite3
from enum import StrEnum
from typing import Final

import msgspec

from relayd.journal import kinds
from relayd.sms.message import Receipt, Sms
from relayd.store.access_codes import DAY, HOUR
from relayd.store.interface import Store
from relayd.store.operation import reads, writes
from relayd.store.viewer_tables import grant_where, journal

#: A receipt may come before its message's answer was kept; it waits so long for that, in seconds.
_EARLY: Final = 600.0
#: Fewer right codes than this share of the SMS to one country, over an hour of at least so many, looks like fraud.
PUMPING_SENDS: Final = 20
PUMPING_SHARE: Final = 0.3

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS viewer_early_receipt (
    receipt_hash BLOB PRIMARY KEY,
    state TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS viewer_sms_code ON viewer_sms (code_id);
"""


class SmsState(StrEnum):
    """What a receipt says of an SMS; OPEN while none has come."""

    OPEN = ""
    ARRIVED = "arrived"
    LOST = "lost"


class Country(msgspec.Struct, frozen=True):
    """The SMS of the last hour to one country, by its two letters, and how many codes of them were used."""

    region: str
    sends: int
    used: int

    @property
    def suspicious(self) -> bool:
        """Many SMS and few right codes: what fraud with paid numbers looks like."""
        return self.sends >= PUMPING_SENDS and self.used < self.sends * PUMPING_SHARE


@writes
def viewer_sms_take(db: sqlite3.Connection, now: float, code_id: str, gateway: str, daily: int) -> bool:
    """The code's newest SMS goes to this gateway; False, and nothing noted, when its ``daily`` (0: no limit) are used
    up."""
    if daily and _used(db, now, gateway) >= daily:
        return False
    db.execute(
        "UPDATE viewer_sms SET provider = ? WHERE id = (SELECT max(id) FROM viewer_sms WHERE code_id = ?)",
        (gateway, code_id),
    )
    return True


@writes
def viewer_sms_result(
    db: sqlite3.Connection,
    now: float,
    grant_id: str,
    code_id: str,
    result: str,
    gateway: str = "",
    receipt_id: str = "",
) -> None:
    """What the gateway said, and the id that its receipt will have. A failed one keeps its place in the caps: it may
    have gone out after all. A code that went by e-mail has no gateway."""
    accepted = result == "accepted"
    if not accepted:
        db.execute("UPDATE viewer_code SET sms_failed = 1 WHERE id = ?", (code_id,))
    grant = grant_where(db, "id = ?", grant_id)
    facts = {"channel": grant.channel.value if grant is not None else "", "result": result}
    if gateway:
        facts["gateway"] = gateway
    journal(db, now, grant_id, kinds.CODE_SENT if accepted else kinds.CODE_FAILED, facts)
    if not receipt_id:
        return
    name = _name(gateway, receipt_id)
    db.execute(
        "UPDATE viewer_sms SET receipt_hash = ? WHERE id = (SELECT max(id) FROM viewer_sms WHERE code_id = ?)",
        (name, code_id),
    )
    early = db.execute("DELETE FROM viewer_early_receipt WHERE receipt_hash = ? RETURNING state", (name,)).fetchone()
    if early is not None:
        _became(db, now, name, SmsState(early[0]))


@writes
def viewer_sms_receipt(db: sqlite3.Connection, now: float, gateway: str, receipt_id: str, arrived: bool) -> None:
    """A receipt counts once. Arrived is final: a report that it was lost, before or after, was about one of several
    tries."""
    name, state = _name(gateway, receipt_id), SmsState.ARRIVED if arrived else SmsState.LOST
    if not _became(db, now, name, state):
        db.execute(
            "INSERT INTO viewer_early_receipt (receipt_hash, state, at) VALUES (?, ?, ?)"
            " ON CONFLICT (receipt_hash) DO UPDATE SET state = excluded.state WHERE state <> ?",
            (name, state, now, SmsState.ARRIVED),
        )


@reads
def viewer_sms_gateways(db: sqlite3.Connection, now: float) -> dict[str, int]:
    """How many SMS each gateway was given within a day."""
    rows = db.execute(
        "SELECT provider, count(*) FROM viewer_sms WHERE at > ? AND provider <> '' GROUP BY provider", (now - DAY,)
    )
    return {str(name): int(count) for name, count in rows}


@reads
def viewer_sms_countries(db: sqlite3.Connection, now: float) -> list[Country]:
    """The last hour, country by country."""
    rows = db.execute(
        "SELECT region, count(*), count(DISTINCT CASE WHEN c.state = 'used' THEN c.id END) FROM viewer_sms s"
        " LEFT JOIN viewer_code c ON c.id = s.code_id WHERE s.at > ? AND region <> '' GROUP BY region ORDER BY region",
        (now - HOUR,),
    )
    return [Country(*row) for row in rows]


def sweep(db: sqlite3.Connection, now: float) -> None:
    """Forget what has had its time."""
    db.execute("DELETE FROM viewer_sms WHERE at <= ?", (now - DAY,))
    db.execute("DELETE FROM viewer_early_receipt WHERE at <= ?", (now - _EARLY,))


def _used(db: sqlite3.Connection, now: float, gateway: str) -> int:
    row = db.execute("SELECT count(*) FROM viewer_sms WHERE at > ? AND provider = ?", (now - DAY, gateway))
    return int(row.fetchone()[0])


def _name(gateway: str, receipt_id: str) -> bytes:
    """Gateways don't know each other's ids, so that two may use the same."""
    return hashlib.sha256(f"{gateway} {receipt_id}".encode()).digest()


def _became(db: sqlite3.Connection, now: float, name: bytes, state: SmsState) -> bool:
    """False when no SMS has this name."""
    row = db.execute(
        "SELECT s.id, s.state, s.code_id, c.grant_id FROM viewer_sms s LEFT JOIN viewer_code c ON c.id = s.code_id"
        " WHERE s.receipt_hash = ?",
        (name,),
    ).fetchone()
    if row is None:
        return False
    sms_id, before, code_id, grant_id = row
    if before in (SmsState.ARRIVED, state):
        return True
    db.execute("UPDATE viewer_sms SET state = ? WHERE id = ?", (state, sms_id))
    if state is SmsState.ARRIVED:
        # Its answer got lost, and still it went out.
        db.execute(
            "UPDATE viewer_code SET sms_failed = 0 WHERE id = ? AND ? = (SELECT max(id) FROM viewer_sms"
            " WHERE code_id = ?)",
            (code_id, sms_id, code_id),
        )
    if grant_id is not None:
        journal(db, now, grant_id, kinds.CODE_DELIVERED if state is SmsState.ARRIVED else kinds.CODE_LOST)
    return True


class SmsLedger:
    """The store as the ledger of ``relayd.sms``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, sms: Sms, gateway: str, daily: int) -> bool:
        taken: bool = await self._store.call("viewer_sms_take", code_id=sms.code_id, gateway=gateway, daily=daily)
        return taken

    async def heard(self, gateway: str, receipt: Receipt) -> None:
        await self._store.call("viewer_sms_receipt", gateway=gateway, receipt_id=receipt.id, arrived=receipt.arrived)
