"""The store process: the one writer of the database, the counters of the machine, and the forgetting."""

from __future__ import annotations

import asyncio
import socket

import structlog

from relayd.clock import SystemClock
from relayd.daemon.control import ControlChannel
from relayd.daemon.in_force import prepare
from relayd.daemon.services import open_blobs, open_vault
from relayd.daemon.sockets import Listening
from relayd.errors import RelaydError, StoreUnavailable
from relayd.queue.composer import Composer
from relayd.queue.reports import Reports
from relayd.settings.load import Loaded
from relayd.settings.models import Configuration
from relayd.store.forgetting import Ending
from relayd.store.purge import Purge
from relayd.store.server import serve
from relayd.store.sqlite import SqliteStore

log = structlog.get_logger("relayd.store")

#: How often it is looked whether something is due for forgetting, in seconds.
_PURGE_EVERY = 3600.0
#: How long an orphaned store waits for its workers to end, in seconds: a little longer than they take.
_WORKERS_END = 8.0
#: The last store may still be finishing when its supervisor was killed: how often and how long its lock is tried.
_LOCK_RETRY = 0.2
_LOCK_PATIENCE = 30.0


async def run_store(loaded: Loaded, _listening: list[Listening], channel: socket.socket) -> None:
    """Serve until told to stop. Workers are gone by then: the supervisor stops them first."""
    configuration = loaded.configuration

    async def ignore_reload(_: Loaded) -> None:
        return  # Nothing here changes without a restart.

    control = ControlChannel(channel, ignore_reload)
    await control.start()
    store = await _open(configuration)
    server = await serve(store, configuration.state / "store.sock")
    forgetting = asyncio.create_task(_forget(store, loaded))
    control.ready()
    try:
        await control.stopped.wait()
        if control.orphaned:
            # The workers are still finishing: what they have delivered by now should be known to the next ones.
            await server.deserted(_WORKERS_END)
    finally:
        forgetting.cancel()
        await server.close()
        await store.close()


async def _open(configuration: Configuration) -> SqliteStore:
    deadline = SystemClock().boot() + _LOCK_PATIENCE
    while True:
        try:
            return await SqliteStore.open(configuration.state, SystemClock(), configuration.store)
        except StoreUnavailable:
            if SystemClock().boot() > deadline:
                raise
            await asyncio.sleep(_LOCK_RETRY)


async def _forget(store: SqliteStore, loaded: Loaded) -> None:
    """Once an hour: destroy the keys that are due, delete the rows, unlink what nothing refers to."""
    configuration, clock = loaded.configuration, SystemClock()
    in_force = prepare(loaded)
    vault, blobs = open_vault(configuration), open_blobs(configuration, "store", clock)
    composer = Composer(vault, blobs, lambda: in_force.directory, clock, configuration.retention.days)
    reports = Reports(composer, lambda: in_force, clock)

    async def tell(ending: Ending) -> None:
        if (message := await reports.ending(ending)) is not None:
            await store.accept(message)

    purge = Purge(store, vault.epochs, blobs, clock, tell)
    while True:
        try:
            await purge.run()
        except (RelaydError, OSError) as error:
            log.error("purge_failed", error=type(error).__name__)
        await asyncio.sleep(_PURGE_EVERY)
