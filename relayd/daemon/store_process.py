"""The store process: the one writer of the database, the counters of the machine, and the forgetting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import structlog

from relayd.authenticity.dkim_sign import Signer
from relayd.authenticity.dkim_store import load_signers
from relayd.clock import SystemClock
from relayd.daemon.control import ControlChannel
from relayd.daemon.in_force import prepare
from relayd.daemon.services import open_blobs, open_vault
from relayd.daemon.sockets import Listening
from relayd.errors import ConfigurationError, RelaydError, StoreDamaged, StoreUnavailable
from relayd.mail.address import Domain
from relayd.queue.composer import Composer
from relayd.queue.reports import Reports
from relayd.settings.load import Loaded
from relayd.settings.models import Configuration
from relayd.store.database import REPAIR
from relayd.store.forgetting import Ending
from relayd.store.purge import EVERY, Purge
from relayd.store.server import serve
from relayd.store.sqlite import SqliteStore
from relayd.store.verify import database_of

log = structlog.get_logger("relayd.store")

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
    _refuse_to_start_empty(configuration)
    deadline = SystemClock().boot() + _LOCK_PATIENCE
    reason = ""
    while True:
        try:
            return await SqliteStore.open(configuration.state, SystemClock(), configuration.store)
        except StoreDamaged as error:
            raise StoreDamaged(f"{database_of(configuration.state)}: {error}") from error
        except StoreUnavailable as error:
            if SystemClock().boot() > deadline:
                raise
            if reason != str(error):
                reason = str(error)
                log.warning("store_waits", reason=reason)
            await asyncio.sleep(_LOCK_RETRY)


def _refuse_to_start_empty(configuration: Configuration) -> None:
    """Where there are keys of messages there was a database. A new one would hide what the old one still owes."""
    database = database_of(configuration.state)
    if (not database.exists() or database.stat().st_size == 0) and open_vault(configuration).epochs.all():
        raise StoreDamaged(
            f"{database} isn't there or is empty, and yet {configuration.keys} has keys of messages. Is a file system "
            f"not mounted? {REPAIR}. To begin anew, without all mail so far, move {configuration.keys / 'epochs'} away"
        )


def _signers(configuration: Configuration) -> Mapping[Domain, tuple[Signer, ...]]:
    """The DKIM keys of this moment: this process is told of no reload. Nothing is kept longer for want of one."""
    try:
        return load_signers(configuration.keys)
    except ConfigurationError as error:
        log.error("dkim_keys_unavailable", problems=len(error.problems))
        return {}


async def _forget(store: SqliteStore, loaded: Loaded) -> None:
    """Once an hour: destroy the keys that are due, delete the rows, unlink what nothing refers to."""
    configuration, clock = loaded.configuration, SystemClock()
    in_force = prepare(loaded)
    vault, blobs = open_vault(configuration), open_blobs(configuration, "store", clock)
    composer = Composer(
        vault, blobs, lambda: in_force.directory, clock, configuration.retention.days, lambda: _signers(configuration)
    )
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
        await asyncio.sleep(EVERY)
