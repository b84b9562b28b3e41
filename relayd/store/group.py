"""Group commit: everything that is ready goes into one transaction and one fsync.

Bodies first, rows after them: what the batch's accepted messages point at is synced before the transaction begins, each
segment once for all bodies in it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relayd import failpoints
from relayd.store import claims
from relayd.store.bodies import BodySync
from relayd.store.database import is_sick, unavailable
from relayd.store.records import NewMessage


@dataclass(slots=True)
class Accept:
    """A message to insert. All of a batch go in with three statements."""

    message: NewMessage
    future: asyncio.Future[None]


@dataclass(slots=True)
class Write:
    """Any other change. ``alone`` gives it a savepoint of its own from the start: it may well fail."""

    function: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    alone: bool = False


Work = Accept | Write


@dataclass(slots=True)
class Committer:
    """Runs batches. ``boot`` gives the time that leases are measured in."""

    boot: Callable[[], float]
    bodies: BodySync

    def run(self, db: sqlite3.Connection, batch: list[Work]) -> list[Any]:
        """One transaction for the batch: each work's result, or the exception that is its own.

        The first try costs nothing per work. Only when it fails is everything undone and each work run again under a
        savepoint, which finds the culprit and commits the others.
        """
        self.bodies.sync({work.message.body.file for work in batch if isinstance(work, Accept)})
        try:
            return self._commit(db, batch, self._together)
        except Exception as error:
            self._undo(db)
            if is_sick(error):
                raise unavailable(error) from error
        try:
            return self._commit(db, batch, self._one_by_one)
        except Exception as error:
            self._undo(db)
            if is_sick(error):
                raise unavailable(error) from error
            raise

    @staticmethod
    def _commit(
        db: sqlite3.Connection, batch: list[Work], work: Callable[[sqlite3.Connection, list[Work]], list[Any]]
    ) -> list[Any]:
        db.execute("BEGIN IMMEDIATE")
        results = work(db, batch)
        failpoints.reach("rows-written")
        db.execute("COMMIT")
        failpoints.reach("rows-durable")
        return results

    @staticmethod
    def _undo(db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _together(self, db: sqlite3.Connection, batch: list[Work]) -> list[Any]:
        messages = [work.message for work in batch if isinstance(work, Accept)]
        claims.insert(db, messages, self.boot())
        return [None if isinstance(work, Accept) else _write(db, work) for work in batch]

    def _one_by_one(self, db: sqlite3.Connection, batch: list[Work]) -> list[Any]:
        return [
            _guarded(db, self._accept(work.message) if isinstance(work, Accept) else work.function) for work in batch
        ]

    def _accept(self, message: NewMessage) -> Callable[[sqlite3.Connection], None]:
        def accept(db: sqlite3.Connection) -> None:
            if not claims.already_there(db, message):
                claims.insert(db, [message], self.boot())

        return accept


def _write(db: sqlite3.Connection, work: Write) -> Any:
    return _guarded(db, work.function) if work.alone else work.function(db)


def _guarded(db: sqlite3.Connection, function: Callable[[sqlite3.Connection], Any]) -> Any:
    """The function's result under a savepoint; its exception as a value, with only its own changes undone."""
    db.execute("SAVEPOINT work")
    try:
        result = function(db)
    except Exception as error:
        if is_sick(error):
            raise
        db.execute("ROLLBACK TO work")
        result = error
    db.execute("RELEASE work")
    return result
