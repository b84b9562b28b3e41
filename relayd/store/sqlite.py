"""The store on SQLite: one connection writes, in batches; others read.

A batch commits in the loop's own thread. Whatever is asked for meanwhile waits on the socket and is the next batch.
When the last one had company, the next one waits a few milliseconds for more: two small groups cost twice what one of
both does, and a quiet store still answers at once. A checkpoint runs when enough was written and nothing waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from relayd.clock import Clock
from relayd.errors import StoreUnavailable
from relayd.journal.event import Event
from relayd.settings.models import StoreSettings
from relayd.store import claims, dispatch
from relayd.store.bodies import BodySync
from relayd.store.database import Database, open_reader, open_writer, unavailable
from relayd.store.disk import Disk, FreeSpace
from relayd.store.group import Accept, Committer, Work, Write
from relayd.store.limits import Limits
from relayd.store.lock import FolderLock
from relayd.store.operation import Operation
from relayd.store.records import Claimed, Delivery, Message, NewMessage, Settlement
from relayd.vault.files import make_private_folder

log = structlog.get_logger("relayd.store")

R = TypeVar("R")

FILE: Final = "relayd.db"
#: Works in one transaction, which bounds how long the next group waits.
_GROUP: Final = 512
#: How long a group waits for more while several ask at once, in seconds.
_GATHER: Final = 0.003
#: Works after which a checkpoint is worth its fsyncs when nothing waits, and when something always does.
_CHECKPOINT_IDLE: Final = 1_000
_CHECKPOINT_BUSY: Final = 8_000
_EXPIRE_EVERY: Final = 5.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Changes with every boot of the machine; "" where the kernel doesn't say."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


class SqliteStore:
    """Implements Store. Make it with :meth:`open`; it holds the state folder's lock until ``close``."""

    def __init__(self, folder: Path, clock: Clock, settings: StoreSettings, disk: Disk) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._space = FreeSpace(folder, settings.minimum_free, clock, disk)
        self._lock = FolderLock(folder)
        self.limits = Limits(clock)
        self._bodies = BodySync(folder / "blobs", disk)
        self._committer = Committer(clock.boot, self._bodies)
        self._writer: sqlite3.Connection | None = None
        self._quick: Database | None = None
        self._slow: Database | None = None
        self._queue: list[Work] = []
        self._company = False
        self._since_checkpoint = 0
        self._background: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, folder: Path, clock: Clock, settings: StoreSettings | None = None, *, disk: Disk | None = None
    ) -> SqliteStore:
        """Open the database in the state folder ``folder``, made if need be; StoreUnavailable says why it can't."""
        try:
            make_private_folder(folder)
        except OSError as error:
            raise StoreUnavailable(f"{folder}: {error.strerror}") from error
        store = cls(folder, clock, settings or StoreSettings(), disk or Disk())
        try:
            store._writer = store._open_writer(create=True)
            store._begin_afresh(store._writer)
            store._quick = await open_reader(store._path)
            store._slow = await open_reader(store._path)
        except BaseException:
            await store.close()
            raise
        store._background = asyncio.get_running_loop().create_task(store._expire_leases())
        return store

    async def close(self) -> None:
        """Commit what waits, then close. The last checkpoint is SQLite's own."""
        if self._background is not None:
            self._background.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._background
        while self._queue:
            self._commit_group()
        for database in (self._quick, self._slow):
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    await database.close()
        self._drop_writer()
        self._closed = True
        self._bodies.close()
        self._lock.release()

    # -- what changes rows

    def begin_accept(self, message: NewMessage) -> asyncio.Future[None]:
        """``accept`` without a coroutine around it."""
        self._space.require()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(Accept(message, future))
        return future

    async def accept(self, message: NewMessage) -> None:
        await self.begin_accept(message)

    async def commit(
        self, messages: Sequence[NewMessage], operations: Sequence[tuple[str, dict[str, Any]]] = ()
    ) -> None:
        self._space.require()
        now, boot = self._clock.now(), self._clock.boot()
        await self._write(lambda db: claims.commit(db, messages, operations, now, boot), alone=True)

    async def claim(self, owner: str, now: float, limit: int, busy_until: float) -> list[Claimed]:
        self._space.require()
        boot = self._clock.boot()
        return await self._write(lambda db: claims.claim(db, owner, now, limit, busy_until, boot))

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        now, boot = self._clock.now(), self._clock.boot()
        return await self._write(lambda db: claims.settle(db, settlements, now, boot))

    async def heartbeat(self, owner: str, now: float, lease: float) -> bool:
        """The lease runs from when this arrives, by the store's own clock; ``now`` doesn't count here."""
        boot = self._clock.boot()
        return await self._write(lambda db: claims.heartbeat(db, owner, boot, lease))

    async def free(self, owner: str) -> int:
        return await self._write(lambda db: claims.free(db, owner))

    # -- what only looks

    async def next_due(self, now: float) -> float | None:
        return await self._read(claims.next_due)

    async def message(self, message_id: str) -> Message:
        return await self._read(lambda db: claims.message(db, message_id))

    async def deliveries(self, message_id: str) -> list[Delivery]:
        return await self._read(lambda db: claims.deliveries(db, message_id))

    async def journal(self, message_id: str) -> list[Event]:
        return await self._read(lambda db: claims.journal(db, message_id))

    async def call(self, operation: str, **arguments: Any) -> Any:
        found = dispatch.find(operation)
        run = partial(_perform, found, self._clock.now(), arguments)
        if found.writes:
            return await self._write(run, alone=True)
        return await self._look(self._slow, run)

    async def _read(self, function: Callable[[sqlite3.Connection], R]) -> R:
        return await self._look(self._quick, function)

    @staticmethod
    async def _look(database: Database | None, function: Callable[[sqlite3.Connection], R]) -> R:
        if database is None:
            raise StoreUnavailable("the store is closed")
        return await database.run(function)

    async def _write(self, function: Callable[[sqlite3.Connection], R], *, alone: bool = False) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._submit(Write(function, future, alone))
        return await future

    # -- the batches

    def _submit(self, work: Work) -> None:
        if not self._queue:
            # At the soonest behind everything that this turn of the loop has read from the workers' sockets.
            asyncio.get_running_loop().call_later(_GATHER if self._company else 0, self._commit_group)
        self._queue.append(work)

    def _commit_group(self) -> None:
        batch, self._queue = self._queue[:_GROUP], self._queue[_GROUP:]
        if not batch:
            return  # close() was faster
        self._company = len(batch) > 1
        if self._queue:
            asyncio.get_running_loop().call_soon(self._commit_group)
        for work, result in zip(batch, self._commit(batch), strict=True):
            if work.future.done():
                continue
            if isinstance(result, Exception):
                work.future.set_exception(result)
            else:
                work.future.set_result(result)
        self._since_checkpoint += len(batch)
        if self._since_checkpoint >= (_CHECKPOINT_BUSY if self._queue else _CHECKPOINT_IDLE):
            self._checkpoint()

    def _commit(self, batch: list[Work]) -> list[Any]:
        """Each work's result or exception."""
        try:
            return self._committer.run(self._usable_writer(), batch)
        except StoreUnavailable as error:
            log.error("store_unavailable", works=len(batch), error=str(error))
            self._drop_writer()
            return [error] * len(batch)
        except Exception as error:
            log.exception("batch_failed", works=len(batch))
            return [error] * len(batch)

    def _checkpoint(self) -> None:
        self._since_checkpoint = 0
        try:
            self._usable_writer().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (StoreUnavailable, sqlite3.Error) as error:
            log.error("checkpoint_failed", error=str(error))
            self._drop_writer()

    def _usable_writer(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._writer is None:
            self._writer = self._open_writer(create=False)
        return self._writer

    def _open_writer(self, *, create: bool) -> sqlite3.Connection:
        writer = open_writer(self._path, create=create)
        try:
            claims.free_all_after_reboot(writer, boot_id())
        except sqlite3.Error as error:
            writer.close()
            raise unavailable(error) from error
        return writer

    @staticmethod
    def _begin_afresh(writer: sqlite3.Connection) -> None:
        """Put what the log holds into the database, and begin an empty log.

        The process before us may have met a failed sync of the log. Its commit was refused, yet the kernel keeps the
        pages, clean and on no disk: this start reads them as committed, what is written behind them is durable, and
        after a power cut nothing behind the hole is found. The checkpoint writes all of it again.
        """
        try:
            busy, *_ = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        if busy:
            raise StoreUnavailable("the database's log can't be begun anew while somebody reads it")

    def _drop_writer(self) -> None:
        """After a sick answer nothing that the connection remembers is trusted; the next batch opens it anew."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(sqlite3.Error):
                writer.close()

    async def _expire_leases(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_EVERY)
            boot = self._clock.boot()
            try:
                freed = await self._write(lambda db, boot=boot: claims.expire(db, boot))  # type: ignore[misc]
            except StoreUnavailable:
                continue
            if freed:
                log.warning("leases_expired", deliveries=freed)


def _perform(operation: Operation, now: float, arguments: dict[str, Any], db: sqlite3.Connection) -> Any:
    return dispatch.perform(operation, db, now, arguments)
