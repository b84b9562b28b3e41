"""The invariants of what is durable, checked from outside on a read-only connection, while relayd runs or not.

* no row without its body, no two rows with the same octets; deep: every body and meta opens and authenticates
* no body file without a row that is older than the sweep age
* no delivery owned beyond its owner's lease plus grace
* a key for every message that hasn't had its retention day
* every delivery in a legal state and of an existing message
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relayd.clock import Clock
from relayd.errors import PasswordNeeded, RelaydError
from relayd.store.blobs import Blobs
from relayd.store.records import BlobRef, State
from relayd.store.sealed_body import PART
from relayd.store.sqlite import FILE, boot_id
from relayd.vault.epochs import EpochKeys
from relayd.vault.meta import copy_part, open_derived, open_meta
from relayd.vault.vault import MessageKey, Vault

#: How long after the end of a lease the store may take to notice.
GRACE: Final = 30.0
_READ: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant: which, and of what."""

    rule: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks one state folder. ``vault`` opens bodies in a deep check."""

    folder: Path
    blobs: Blobs
    epochs: EpochKeys
    vault: Vault
    clock: Clock

    def run(self, db: sqlite3.Connection, *, deep: bool = False) -> Iterator[Violation]:
        """All violations. ``db`` is a read-only connection; it sees one moment throughout."""
        old_files = self.blobs.sweep_candidates(self.clock.now())
        db.execute("BEGIN")
        try:
            yield from _integrity(db, deep=deep)
            yield from self._bodies(db)
            yield from self._files(db, old_files)
            yield from self._owners(db)
            yield from self._keys(db)
            yield from _states(db)
            if deep:
                yield from self._contents(db)
        finally:
            db.execute("ROLLBACK")

    def _bodies(self, db: sqlite3.Connection) -> Iterator[Violation]:
        places = " UNION ALL ".join(
            f"SELECT {name}, body_file, body_offset, body_length FROM {table} WHERE body_file != ''"  # noqa: S608
            for table, name in _holders(db)
        )
        rows = db.execute(f"{places} ORDER BY 2, 3")
        current, size, end = "", -1, 0
        for message_id, name, offset, length in rows:
            if name != current:
                current, size, end = name, self.blobs.size_of(name), 0
            if size < 0:
                yield Violation("body", message_id, f"its body's file {name} doesn't exist")
            elif offset + length > size:
                yield Violation("body", message_id, f"its body ends beyond the file {name}")
            elif offset < end:
                yield Violation("body", message_id, f"its body overlaps another one in {name}")
            end = offset + length

    def _files(self, db: sqlite3.Connection, old: list[str]) -> Iterator[Violation]:
        used = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE body_file = ?1" for table, _ in _holders(db))  # noqa: S608
        for name in old:
            known = db.execute(f"{used} LIMIT 1", (name,)).fetchone()
            if known is None and not self.blobs.in_use(name):
                yield Violation("orphan", name, "no message points at this file and it is older than store.sweep_age")

    def _owners(self, db: sqlite3.Connection) -> Iterator[Violation]:
        booted = db.execute("SELECT value FROM fact WHERE name = 'boot'").fetchone()
        if not is_running(self.folder) or booted is None or booted[0] != boot_id():
            return  # the next start frees what is left over
        rows = db.execute(
            "SELECT d.owner, count(*) FROM delivery d LEFT JOIN worker w ON w.owner = d.owner "
            "WHERE d.owner IS NOT NULL AND coalesce(w.expires, 0) + ? < ? GROUP BY d.owner",
            (GRACE, self.clock.boot()),
        )
        for owner, count in rows:
            yield Violation("owner", owner, f"owns {count} deliveries though its lease has run out")

    def _keys(self, db: sqlite3.Connection) -> Iterator[Violation]:
        rows = db.execute(
            "SELECT organisation, epoch, count(*) FROM message WHERE wrapped_key != x'' GROUP BY epoch, organisation"
        )
        for organisation, epoch, count in rows:
            if not self.epochs.exists(organisation, epoch):
                text = f"{count} messages need this epoch's key, which doesn't exist"
                yield Violation("key", f"{organisation} {epoch}", text)
        late = db.execute("SELECT id FROM message WHERE wrapped_key = x'' AND expires_at > ?", (self.clock.now(),))
        for (message_id,) in late:
            yield Violation("key", message_id, "has lost its key before its retention day")

    def _read_all(self, ref: BlobRef, key: MessageKey, size: int, part: str = PART) -> None:
        body = self.blobs.open(ref, key, 0, size, part)
        for start in range(0, size, _READ):
            body.read(start, _READ)

    def _contents(self, db: sqlite3.Connection) -> Iterator[Violation]:
        # Named one by one: a database of an older version, restored from a backup, is looked at before it is migrated.
        rows = db.execute(
            "SELECT id, organisation, epoch, wrapped_key, meta, size, body_file, body_offset, body_length "
            "FROM message WHERE wrapped_key != x''"
        )
        for message_id, organisation, epoch, wrapped_key, meta, size, *place in rows:
            try:
                key = self.vault.open(organisation, epoch, message_id, wrapped_key)
                open_meta(key, meta)
                self._read_all(BlobRef(*place), key, size)
                for copy, copy_meta, copy_size, *copy_place in _derived(db, message_id):
                    open_derived(key, copy, copy_meta)
                    self._read_all(BlobRef(*copy_place), key, copy_size, copy_part(copy))
            except PasswordNeeded:
                continue  # only its reader's password opens it
            except (RelaydError, ValueError) as error:
                yield Violation("content", message_id, f"doesn't open: {error}")


def _derived(db: sqlite3.Connection, message_id: str) -> list[tuple[Any, ...]]:
    if ("derived", "message_id") not in _holders(db):
        return []
    return db.execute(
        "SELECT copy, meta, size, body_file, body_offset, body_length FROM derived "
        "WHERE message_id = ? AND body_file != ''",
        (message_id,),
    ).fetchall()


def _holders(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """The tables whose rows point at bodies, with the column of their name. Before version 3 there were no uploads, and
    before 4 no derived copies."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [one for one in _HOLDERS if one[0] in tables]


_HOLDERS: Final = (("message", "id"), ("viewer_upload", "id"), ("derived", "message_id"))


def is_running(folder: Path) -> bool:
    """Whether a store process has this state folder open."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def database_of(folder: Path) -> Path:
    """The database in a state folder."""
    return folder / FILE


def _integrity(db: sqlite3.Connection, *, deep: bool) -> Iterator[Violation]:
    for (text,) in db.execute("PRAGMA integrity_check(10)" if deep else "PRAGMA quick_check(10)"):
        if text != "ok":
            yield Violation("database", "", text)


def _states(db: sqlite3.Connection) -> Iterator[Violation]:
    legal = ", ".join(f"'{state}'" for state in State)
    final = "('delivered', 'relayed', 'failed', 'cancelled')"
    checks = (
        (f"state NOT IN ({legal})", "has the unknown state"),
        (f"owner IS NOT NULL AND state IN {final}", "is still owned though it is"),
        ("owner IS NOT NULL AND generation < 1", "is owned without ever being claimed;"),
        ("route = '' AND state = 'queued'", "has no route though it is"),
        ("message_id NOT IN (SELECT id FROM message)", "belongs to no message; it is"),
    )
    for condition, text in checks:
        for message_id, number, state in db.execute(
            f"SELECT message_id, number, state FROM delivery WHERE {condition}"  # noqa: S608
        ):
            yield Violation("delivery", f"{message_id}/{number}", f"{text} {state}")
