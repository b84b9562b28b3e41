"""What is counted for the daily reports, and how far each report is.

Rows are counted per kind ("tls", "dmarc"), UTC day, domain and facts (JSON). Once a day is over, each of its domains
gets a row in ``report_out``, which whoever sends the report claims for a while. A settlement counts only under the try
it was claimed for, so that the mails it brings along exist once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from relayd.store.operation import reads, writes
from relayd.store.records import NewMessage
from relayd.store.tables import insert_messages

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS report_count (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    facts TEXT NOT NULL,                -- JSON
    count INTEGER NOT NULL,
    PRIMARY KEY (day, kind, domain, facts)
) WITHOUT ROWID;

-- How many rows a day has, and how much wasn't counted in rows because there were too many. prepared: every domain
-- that has rows has its report_out.
CREATE TABLE IF NOT EXISTS report_day (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    rows INTEGER NOT NULL,
    uncounted INTEGER NOT NULL,
    prepared INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) WITHOUT ROWID;

-- The last batch of each process, so that one whose answer was lost can be sent again.
CREATE TABLE IF NOT EXISTS report_batch (
    owner TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS report_out (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL,                -- 'due', 'sent', 'unwanted' or 'failed'
    due REAL NOT NULL,
    until REAL NOT NULL,
    tries INTEGER NOT NULL,
    mails INTEGER NOT NULL,             -- how many mails carry it
    left TEXT,                          -- JSON: destinations still to reach; NULL before they were looked up
    PRIMARY KEY (day, kind, domain)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS report_out_due ON report_out (due) WHERE state = 'due';
"""

#: Rows of one kind and day for one domain, and for all: what a flood of different keys can make of the table.
PER_DOMAIN: Final = 2_000
PER_DAY: Final = 20_000
#: Seconds after midnight before which no report leaves (all processes have flushed by then), and the last moment
#: (RFC 8460 §4.1: a random delay of up to four hours).
EARLIEST: Final = 600.0
LATEST: Final = 4 * 3600.0
#: Seconds that a report is tried (RFC 8460 §5.5).
PATIENCE: Final = 24 * 3600.0
#: Days after which counts are deleted, and days that one can see what became of reports.
KEEP_COUNTS: Final = 3
KEEP_FATE: Final = 30


class Count(msgspec.Struct, frozen=True, array_like=True):
    """``count`` sessions or messages of which all ``facts`` are the same."""

    kind: str
    day: str
    domain: str
    facts: str
    count: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One report that is to be made and sent, claimed by the caller. ``left`` are the destinations that haven't got it
    yet, None before the first look at DNS; ``mails`` carry it already. ``until``: when to give up."""

    kind: str
    day: str
    domain: str
    tries: int
    mails: int
    until: float
    left: tuple[str, ...] | None
    counts: tuple[Count, ...]


class ReportFate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report. ``uncounted`` results of its day and kind, of all domains together, weren't kept apart,
    since there were too many different ones."""

    kind: str
    day: str
    domain: str
    state: str
    due: float
    tries: int
    uncounted: int = 0


def day_of(at: float) -> str:
    """The UTC day, such as "2026-11-26"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def start_of(day: str) -> float:
    """When a UTC day begins."""
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()


def due_time(salt: str, kind: str, day: str, domain: str) -> float:
    """When the report of ``day`` leaves: a moment between EARLIEST and LATEST after midnight that differs from domain
    to domain and, by ``salt``, from one installation to the other."""
    digest = hashlib.sha256(f"{salt}\0{kind}\0{day}\0{domain}".encode()).digest()
    part = int.from_bytes(digest[:6]) / 2**48
    return start_of(day) + 86400 + EARLIEST + part * (LATEST - EARLIEST)


@writes
def report_count(
    db: sqlite3.Connection, now: float, owner: str, number: int, counts: list[Count], uncounted: list[Count]
) -> None:
    """Add a batch of ``owner``; one whose number was there already changes nothing. ``uncounted`` is what the caller
    itself had no room for, without domain and facts."""
    seen = db.execute("SELECT number FROM report_batch WHERE owner = ?", (owner,)).fetchone()
    if seen is not None and seen[0] >= number:
        return
    db.execute("INSERT OR REPLACE INTO report_batch (owner, number, at) VALUES (?, ?, ?)", (owner, number, now))
    groups: dict[tuple[str, str], dict[str, list[Count]]] = {}
    for one in counts:
        groups.setdefault((one.day, one.kind), {}).setdefault(one.domain, []).append(one)
    for one in uncounted:
        groups.setdefault((one.day, one.kind), {})
        _note_day(db, one.day, one.kind, 0, one.count)
    for (day, kind), domains in groups.items():
        _add(db, day, kind, domains)


def _add(db: sqlite3.Connection, day: str, kind: str, domains: dict[str, list[Count]]) -> None:
    row = db.execute("SELECT rows FROM report_day WHERE day = ? AND kind = ?", (day, kind)).fetchone()
    before = rows = row[0] if row else 0
    uncounted = 0
    for domain, counts in domains.items():
        query = "SELECT count(*) FROM report_count WHERE day = ? AND kind = ? AND domain = ?"
        there = db.execute(query, (day, kind, domain)).fetchone()[0]
        for one in counts:
            changed = db.execute(
                "UPDATE report_count SET count = count + ? WHERE day = ? AND kind = ? AND domain = ? AND facts = ?",
                (one.count, day, kind, domain, one.facts),
            ).rowcount
            if changed:
                continue
            if there >= PER_DOMAIN or rows >= PER_DAY:
                uncounted += one.count
                continue
            db.execute(
                "INSERT INTO report_count (day, kind, domain, facts, count) VALUES (?, ?, ?, ?, ?)",
                (day, kind, domain, one.facts, one.count),
            )
            there, rows = there + 1, rows + 1
    _note_day(db, day, kind, rows - before, uncounted)


def _note_day(db: sqlite3.Connection, day: str, kind: str, rows: int, uncounted: int) -> None:
    db.execute(
        "INSERT INTO report_day (day, kind, rows, uncounted, prepared) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO UPDATE "
        "SET rows = rows + excluded.rows, uncounted = uncounted + excluded.uncounted, "
        "prepared = prepared AND excluded.rows = 0",
        (day, kind, rows, uncounted),
    )


@reads
def report_next(db: sqlite3.Connection, now: float) -> float | None:
    """When somebody has to look after the reports: at once when a day is over whose reports aren't prepared, else when
    the next one is due; None when there is none."""
    if db.execute("SELECT 1 FROM report_day WHERE day < ? AND prepared = 0", (day_of(now),)).fetchone():
        return now
    found: float | None = db.execute("SELECT min(due) FROM report_out WHERE state = 'due'").fetchone()[0]
    return found


@writes
def report_prepare(db: sqlite3.Connection, now: float, salt: str, limit: int = 500) -> int:
    """Give each domain of the days that are over its report, at most ``limit`` of them; returns how many, less than
    ``limit`` when none is left. What is old enough goes."""
    today = day_of(now)
    ended = db.execute(
        "SELECT DISTINCT day, kind, domain FROM report_count c WHERE day < ? AND NOT EXISTS "
        "(SELECT 1 FROM report_out o WHERE (o.day, o.kind, o.domain) = (c.day, c.kind, c.domain)) LIMIT ?",
        (today, limit),
    ).fetchall()
    for day, kind, domain in ended:
        due = due_time(salt, kind, day, domain)
        db.execute(
            "INSERT INTO report_out (day, kind, domain, state, due, until, tries, mails, left) "
            "VALUES (?, ?, ?, 'due', ?, ?, 0, 0, NULL)",
            (day, kind, domain, due, max(due, now) + PATIENCE),
        )
    if len(ended) < limit:
        db.execute("UPDATE report_day SET prepared = 1 WHERE day < ?", (today,))
        _forget(db, now)
    return len(ended)


def _forget(db: sqlite3.Connection, now: float) -> None:
    counted, told = (_days_before(now, days) for days in (KEEP_COUNTS, KEEP_FATE))
    db.execute("DELETE FROM report_count WHERE day < ?", (counted,))
    db.execute("UPDATE report_out SET state = 'failed' WHERE day < ? AND state = 'due'", (counted,))
    db.execute("DELETE FROM report_out WHERE day < ?", (told,))
    db.execute("DELETE FROM report_day WHERE day < ?", (told,))
    db.execute("DELETE FROM report_batch WHERE at < ?", (now - 86400,))


def _days_before(now: float, days: int) -> str:
    return (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).strftime("%Y-%m-%d")


@writes
def report_claim(db: sqlite3.Connection, now: float, busy_until: float) -> Report | None:
    """The report that is due the longest; nobody else gets it before ``busy_until``."""
    row = db.execute(
        "SELECT day, kind, domain, tries, mails, until, left FROM report_out WHERE state = 'due' AND due <= ? "
        "ORDER BY due LIMIT 1",
        (now,),
    ).fetchone()
    if row is None:
        return None
    day, kind, domain, tries, mails, until, left = row
    place = (day, kind, domain)
    db.execute(
        "UPDATE report_out SET due = ?, tries = tries + 1 WHERE (day, kind, domain) = (?, ?, ?)", (busy_until, *place)
    )
    counts = db.execute(
        "SELECT kind, day, domain, facts, count FROM report_count WHERE (day, kind, domain) = (?, ?, ?) ORDER BY facts",
        place,
    )
    return Report(
        kind=kind,
        day=day,
        domain=domain,
        tries=tries + 1,
        mails=mails,
        until=until,
        left=None if left is None else msgspec.json.decode(left, type=tuple[str, ...]),
        counts=tuple(Count(*one) for one in counts),
    )


@writes
def report_settle(
    db: sqlite3.Connection,
    now: float,
    report: Report,
    state: str,
    due: float,
    left: list[str] | None,
    messages: list[NewMessage],
) -> bool:
    """Record what a try came to, with the mails that carry the report. False, and nothing of it, when somebody else
    has tried meanwhile."""
    place = (report.day, report.kind, report.domain)
    changed = db.execute(
        "UPDATE report_out SET state = ?, due = ?, left = ?, mails = mails + ? "
        "WHERE (day, kind, domain) = (?, ?, ?) AND tries = ? AND state = 'due'",
        (
            state,
            due,
            None if left is None else msgspec.json.encode(left).decode(),
            len(messages),
            *place,
            report.tries,
        ),
    ).rowcount
    if not changed:
        return False
    insert_messages(db, messages)
    if state != "due":
        db.execute("DELETE FROM report_count WHERE (day, kind, domain) = (?, ?, ?)", place)
    return True


@reads
def report_fates(db: sqlite3.Connection, now: float, since: str, domain: str | None = None) -> list[ReportFate]:
    """Our own reports from the UTC day ``since`` on, newest first."""
    rows = db.execute(
        "SELECT o.kind, o.day, o.domain, o.state, o.due, o.tries, coalesce(d.uncounted, 0) "
        "FROM report_out o LEFT JOIN report_day d ON (d.day, d.kind) = (o.day, o.kind) "
        "WHERE o.day >= ? AND (? IS NULL OR o.domain = ?) ORDER BY o.day DESC, o.domain, o.kind",
        (since, domain, domain),
    )
    return [msgspec.convert(dict(zip(ReportFate.__struct_fields__, row, strict=True)), ReportFate) for row in rows]
