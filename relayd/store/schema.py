"""Every module that has tables or operations. Importing this one registers all operations."""

from __future__ import annotations

import sqlite3
from typing import Final

from relayd.errors import StoreUnavailable
from relayd.store import (
    derived,
    forgetting,
    mllp,
    probe,
    queue_commands,
    queue_measure,
    report_counts,
    report_received,
    resend,
    strays,
    sts_policies,
    tables,
    viewer,
    viewer_drafts,
    viewer_passkeys,
    viewer_passwords,
    viewer_senders,
    viewer_sms,
)

_VERSION: Final = 4
#: What makes version N of a database of version N - 1, beyond what is missing altogether.
_STEPS: Final[dict[int, tuple[str, ...]]] = {
    2: ("ALTER TABLE message ADD COLUMN require_tls INTEGER NOT NULL DEFAULT 0",),
    3: viewer.TO_VERSION_3,
    4: (),  # the table derived, which is missing altogether
}
OPERATIONS: Final = (
    *(queue_commands, queue_measure, resend, forgetting, strays, probe, viewer, sts_policies, report_counts),
    report_received,
    derived,
    viewer_drafts,
    viewer_passkeys,
    viewer_passwords,
    viewer_senders,
    mllp,
)
SCHEMAS: Final[tuple[str, ...]] = (
    tables.SCHEMA,
    viewer.SCHEMA,
    viewer_drafts.SCHEMA,
    viewer_passkeys.SCHEMA,
    viewer_passwords.SCHEMA,
    viewer_senders.SCHEMA,
    viewer_sms.SCHEMA,
    mllp.SCHEMA,
    sts_policies.SCHEMA,
    report_counts.SCHEMA,
    report_received.SCHEMA,
)


def prepare(db: sqlite3.Connection) -> None:
    """Make what is missing; refuse a database that a newer relayd made."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > _VERSION:
        raise StoreUnavailable(f"the database has version {found}; this relayd knows up to {_VERSION}: use a newer one")
    if 0 < found < _VERSION:
        _migrate(db, found)
    for schema in SCHEMAS:
        db.executescript(schema)
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _migrate(db: sqlite3.Connection, found: int) -> None:
    """All steps or none: whatever ends this process in between, the next start begins where this one did."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for version in range(found + 1, _VERSION + 1):
            for step in _STEPS[version]:
                db.execute(step)
        db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
