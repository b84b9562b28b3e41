"""How commands reach what is durable: through the running store process, or directly when none runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from relayd.clock import SystemClock
from relayd.errors import StoreUnavailable
from relayd.settings.models import Configuration
from relayd.store.client import StoreClient
from relayd.store.interface import Store
from relayd.store.server import SOCKET
from relayd.store.sqlite import SqliteStore
from relayd.store.verify import database_of

R = TypeVar("R")


async def open_store(configuration: Configuration) -> Store:
    """The store: over the socket when somebody listens there, else the database itself, locked while it is open.

    Never makes a state folder: asked about one that isn't there, it says so.
    """
    client = StoreClient(configuration.state / SOCKET)
    try:
        await client.connect()
        return client
    except StoreUnavailable:
        await client.close()
    existing_database(configuration)
    return await SqliteStore.open(configuration.state, SystemClock(), configuration.store)


def existing_database(configuration: Configuration) -> Path:
    """Where the database is; StoreUnavailable when there is none yet."""
    path = database_of(configuration.state)
    if not path.exists():
        raise StoreUnavailable(f"there is no database {path}; has relayd run with this configuration?")
    return path


def configuration_of(folder: str) -> Configuration:
    """relayd.yaml of this folder: what is durable can be reached whatever is wrong in the other files."""
    from relayd.settings.load import load_configuration

    return load_configuration(Path(folder))


def with_store(configuration: Configuration, work: Callable[[Store], Awaitable[R]]) -> R:
    """Run ``work`` with an open store."""

    async def main() -> R:
        store = await open_store(configuration)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())
