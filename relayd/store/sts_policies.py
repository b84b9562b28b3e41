"""The MTA-STS policies of other domains that are kept, by ``relayd.tls.sts_cache``."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from relayd.store.operation import reads, writes
from relayd.tls.sts_cache import REFRESH_AFTER, UNUSED_AFTER, Kept

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sts_policy (
    domain TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    policy TEXT NOT NULL,               -- the file's text; empty when none was ever had
    fetched_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    tried_at REAL NOT NULL,
    failure TEXT NOT NULL,
    used_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

_COLUMNS: Final = "domain, id, policy, fetched_at, expires_at, tried_at, failure, used_at"


@reads
def sts_kept(db: sqlite3.Connection, now: float, domain: str) -> Kept | None:
    """What is kept of a domain."""
    row = db.execute(f"SELECT {_COLUMNS} FROM sts_policy WHERE domain = ?", (domain,)).fetchone()  # noqa: S608
    return _kept(row) if row is not None else None


@writes
def sts_keep(db: sqlite3.Connection, now: float, kept: Kept) -> None:
    """Keep this in place of what there was."""
    db.execute(
        f"INSERT OR REPLACE INTO sts_policy ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            kept.domain,
            kept.id,
            kept.policy,
            kept.fetched_at,
            kept.expires_at,
            kept.tried_at,
            kept.failure,
            kept.used_at,
        ),
    )


@writes
def sts_used(db: sqlite3.Connection, now: float, domain: str) -> None:
    """Somebody needed this policy."""
    db.execute("UPDATE sts_policy SET used_at = ? WHERE domain = ?", (now, domain))


@writes
def sts_forget(db: sqlite3.Connection, now: float, domain: str) -> bool:
    """Forget all that is kept of a domain; False when that was nothing."""
    return db.execute("DELETE FROM sts_policy WHERE domain = ?", (domain,)).rowcount > 0


@writes
def sts_due(db: sqlite3.Connection, now: float, limit: int) -> list[Kept]:
    """Policies to fetch anew, each given to one caller a day. Drops what has expired and wasn't asked for since."""
    db.execute("DELETE FROM sts_policy WHERE expires_at <= ? AND used_at <= ?", (now, now - UNUSED_AFTER))
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM sts_policy "  # noqa: S608
        "WHERE policy <> '' AND tried_at <= :day AND used_at > :unused ORDER BY tried_at LIMIT :limit",
        {"day": now - REFRESH_AFTER, "unused": now - UNUSED_AFTER, "limit": limit},
    ).fetchall()
    db.executemany("UPDATE sts_policy SET tried_at = ? WHERE domain = ?", [(now, row[0]) for row in rows])
    return [_kept(row) for row in rows]


def _kept(row: tuple[Any, ...]) -> Kept:
    return Kept(
        domain=row[0],
        id=row[1],
        policy=row[2],
        fetched_at=row[3],
        expires_at=row[4],
        tried_at=row[5],
        failure=row[6],
        used_at=row[7],
    )
