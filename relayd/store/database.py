"""Connections: one that writes, others that only read.

The writer belongs to the loop's own thread: a commit is what everyone waits for, and whatever comes in meanwhile is the
next group. Readers have a thread each, and work goes to them as whole functions.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite

from relayd.errors import StoreDamaged, StoreUnavailable
from relayd.store import schema

R = TypeVar("R")

#: Primary result codes of a sick disk or file, of SQLite's; others are about the statement.
_SICK: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
#: Of those, what no waiting heals.
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CACHE_KIB: Final = 16 * 1024
_STATEMENTS: Final = 256
#: Nobody else may hold a lock for writing. Should somebody, in seconds.
_PATIENCE: Final = 1.0


#: What an operator does about a damaged database.
REPAIR: Final = (
    "Stop relayd and copy the folders state and keys as they are; then restore state from its backup, "
    "or what can be saved of the database with sqlite3's .recover, and run: relayd verify --deep"
)


class Database(aiosqlite.Connection):
    """An aiosqlite connection that runs one function per call in its thread, not one statement."""

    async def run(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """What ``function`` returns; a sick disk is StoreUnavailable."""
        try:
            result: R = await self._execute(self._apply, function)  # type: ignore[no-untyped-call]
        except sqlite3.Error as error:
            if is_sick(error):
                raise unavailable(error) from error
            raise
        return result

    def _apply(self, function: Callable[[sqlite3.Connection], R]) -> R:
        return function(self._conn)


def is_sick(error: BaseException) -> bool:
    """Whether this is the disk's or the file's trouble rather than a statement's."""
    return isinstance(error, sqlite3.Error) and _code(error) in _SICK


def unavailable(error: BaseException) -> StoreUnavailable:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    text = f"the database is not usable: {error} ({name})"
    if _code(error) in _DAMAGED:
        return StoreDamaged(f"{text}. {REPAIR}")
    return StoreUnavailable(text)


def _code(error: BaseException) -> int:
    """The primary result code; 0 where there is none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def open_writer(path: Path, *, create: bool) -> sqlite3.Connection:
    """The one connection that writes. It also makes all checkpoints, between batches.

    Without ``create`` the database has to be there: what goes away while relayd runs isn't to be made anew.
    """
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    try:
        db = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=_STATEMENTS, timeout=_PATIENCE)
        try:
            if not create and db.execute("PRAGMA user_version").fetchone()[0] == 0:
                raise StoreDamaged(f"{path} is empty. {REPAIR}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA wal_autocheckpoint = 0")
            db.execute("PRAGMA journal_size_limit = 67108864")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            schema.prepare(db)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise unavailable(error) from error
    return db


async def open_reader(path: Path) -> Database:
    """A connection that can't write."""
    return await _open(lambda: connect_reader(path))


def connect_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection for use in the calling thread."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=_STATEMENTS, timeout=5.0)


async def _open(connect: Callable[[], sqlite3.Connection]) -> Database:
    database = Database(connect, 64)
    try:
        await database
    except BaseException as error:
        # aiosqlite has told its thread to end, and doesn't wait for it.
        await asyncio.to_thread(database._thread.join)
        if isinstance(error, sqlite3.Error | OSError):
            raise unavailable(error) from error
        raise
    return database
