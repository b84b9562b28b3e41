"""Every module that has tables or operations. Importing this one registers all operations."""

from __future__ import annotations

import sqlite3
from typing import Final

from relayd.errors import StoreUnavailable
from relayd.store import forgetting, probe, queue_commands, report_counts, resend, strays, tables, viewer

_VERSION: Final = 1
OPERATIONS: Final = (queue_commands, resend, forgetting, strays, probe, viewer, report_counts)
SCHEMAS: Final[tuple[str, ...]] = (tables.SCHEMA, viewer.SCHEMA, report_counts.SCHEMA)


def prepare(db: sqlite3.Connection) -> None:
    """Make what is missing; refuse a database that a newer relayd made."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > _VERSION:
        raise StoreUnavailable(f"the database has version {found}; this relayd knows up to {_VERSION}: use a newer one")
    for schema in SCHEMAS:
        db.executescript(schema)
    db.execute(f"PRAGMA user_version = {_VERSION}")
