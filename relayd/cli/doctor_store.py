"""``relayd doctor``: can relayd write where it has to, and does its store work?"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from relayd.cli.connect import existing_database
from relayd.cli.findings import Finding, Level
from relayd.errors import RelaydError, StoreDamaged
from relayd.settings.models import Configuration
from relayd.store.client import StoreClient
from relayd.store.database import open_reader
from relayd.store.server import SOCKET
from relayd.store.verify import database_of

#: Octets that are written for a try: more than what fits beside a file's name, so that they need room of their own.
_TRY: Final = bytes(16 * 1024)
#: Seconds that the store may take: longer than it waits for a lock that another process has.
_PATIENCE: Final = 20.0


def disk(configuration: Configuration) -> Iterator[Finding]:
    """Free space, and whether the folders take a file."""
    try:
        usage = shutil.disk_usage(configuration.state)
    except OSError as error:
        yield Finding("disk", Level.BAD, f"{configuration.state}: {error.strerror}", "create it, owned by relayd")
        return
    free = usage.free / 2**30
    level = Level.OK
    if usage.free < configuration.store.minimum_free:
        level = Level.BAD
    elif usage.free < 4 * configuration.store.minimum_free:
        level = Level.WARN
    advice = "" if level is Level.OK else "mail is refused with 452 below store.minimum_free; make room"
    yield Finding("disk", level, f"{free:.1f} GiB free under {configuration.state}", advice)
    for folder in (configuration.state, configuration.keys):
        yield from _takes_a_file(folder)


def _takes_a_file(folder: Path) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_TRY)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield Finding("disk", Level.BAD, f"{folder} takes no file: {error.strerror}",
                      "mail is refused with 451 until it does; look at df, mount and the kernel's log")  # fmt: skip


def store(configuration: Configuration) -> Iterator[Finding]:
    """Whether the database can be written through relayd, or read while it is stopped; and whether its clock jumped."""
    try:
        doubted_until = asyncio.run(_try(configuration))
    except StoreDamaged as error:
        yield Finding("store", Level.BAD, str(error))
    except (RelaydError, TimeoutError) as error:
        if not database_of(configuration.state).exists():
            yield Finding(
                "store", Level.BAD, str(error), "the first start makes it; else state isn't what it was: mount it"
            )
            return
        text = str(error) or f"no answer within {_PATIENCE:g} s"
        advice = "mail is refused with 451 and deliveries wait; it goes on by itself once the cause is gone"
        yield Finding("store", Level.BAD, text, advice)
    else:
        yield Finding("store", Level.OK, "the database works")
        if doubted_until is not None:
            yield Finding("clock", Level.WARN, "moved by more than a day, or relayd stood still that long: nothing is "
                          f"forgotten until {datetime.fromtimestamp(doubted_until, UTC):%Y-%m-%d %H:%M} UTC",
                          "see that the clock is right before then")  # fmt: skip


async def _try(configuration: Configuration) -> float | None:
    """Raises what is wrong; returns until when the clock is doubted."""
    client = StoreClient(configuration.state / SOCKET)
    try:
        await client.connect()
    except RelaydError:
        database = await open_reader(existing_database(configuration))
        await database.run(lambda db: db.execute("SELECT count(*) FROM message").fetchone())
        await database.close()
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.call("write_probe")
            doubted_until: float | None = await client.call("clock_doubted_until")
            return doubted_until
    finally:
        await client.close()
