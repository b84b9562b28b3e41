"""Reports that others have sent us, as summaries, and the mails at the reports' address that couldn't be read."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from relayd.errors import NotFound
from relayd.store.operation import reads, writes

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS report_received (
    id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,                 -- 'tls', 'dmarc', or 'unreadable'
    organisation TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    begins REAL NOT NULL,
    ends REAL NOT NULL,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    proven TEXT NOT NULL,               -- the domain that the mail is proven to come from, '' for none
    detail TEXT NOT NULL                -- JSON: the summary; for an unreadable one the reason
);
CREATE UNIQUE INDEX IF NOT EXISTS report_received_once
    ON report_received (kind, organisation, report_id, domain) WHERE kind != 'unreadable';
CREATE UNIQUE INDEX IF NOT EXISTS report_received_message ON report_received (message_id) WHERE kind = 'unreadable';
CREATE INDEX IF NOT EXISTS report_received_at ON report_received (at);
"""

#: Rows that are kept, the newest: whoever knows the address can send reports.
MOST: Final = 10_000

_COLUMNS: Final = "id, message_id, at, kind, organisation, report_id, domain, begins, ends, good, bad, proven, detail"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One mail's report. ``kind`` is "tls", "dmarc" or "unreadable", of which ``detail`` is the reason; else it is the
    summary as JSON. ``good`` and ``bad`` count sessions or messages. ``proven`` is the domain in the mail's From where
    DMARC or a signature of its own proves it, else "". Times are unix."""

    id: int = 0
    message_id: str
    at: float = 0.0
    kind: str
    organisation: str = ""
    report_id: str = ""
    domain: str = ""
    begins: float = 0.0
    ends: float = 0.0
    good: int = 0
    bad: int = 0
    proven: str = ""
    detail: str = ""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which received reports to list; ``since`` is a unix time within the reported span."""

    kind: str | None = None
    domain: str | None = None
    since: float | None = None
    limit: int = 100


@writes
def report_receive(db: sqlite3.Connection, now: float, received: Received, keep: float) -> None:
    """Keep it, unless it was there already: the same report may come twice. Those older than ``keep`` seconds go."""
    values = [getattr(received, name) for name in Received.__struct_fields__[3:]]
    db.execute(
        f"INSERT OR IGNORE INTO report_received ({_COLUMNS}) VALUES (NULL, ?, ?, {', '.join('?' * len(values))})",  # noqa: S608
        (received.message_id, now, *values),
    )
    db.execute("DELETE FROM report_received WHERE at < ?", (now - keep,))
    db.execute(
        "DELETE FROM report_received WHERE id <= (SELECT id FROM report_received ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (MOST,),
    )


@reads
def reports_received(db: sqlite3.Connection, now: float, wanted: Wanted) -> list[Received]:
    """Received reports without their detail, those of the latest days first."""
    where, values = ["1"], list[str | float]()
    for clause, value in (("kind = ?", wanted.kind), ("domain = ?", wanted.domain), ("ends >= ?", wanted.since)):
        if value is not None:
            where.append(clause)
            values.append(value)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM report_received WHERE {' AND '.join(where)} "  # noqa: S608
        "ORDER BY ends DESC, at DESC, id LIMIT ?",
        (*values, wanted.limit),
    )
    found = [_received(row) for row in rows]
    return [one if one.kind == "unreadable" else msgspec.structs.replace(one, detail="") for one in found]


@reads
def report_received(db: sqlite3.Connection, now: float, id: int) -> Received:
    """One of them with its detail. Raises NotFound."""
    row = db.execute(f"SELECT {_COLUMNS} FROM report_received WHERE id = ?", (id,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound(f"there is no report {id}")
    return _received(row)


def _received(row: tuple[object, ...]) -> Received:
    return msgspec.convert(dict(zip(Received.__struct_fields__, row, strict=True)), Received)
