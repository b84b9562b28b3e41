"""Bodies before rows: what an accept promises is synced by the store before a row points at it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from relayd.errors import StoreUnavailable
from relayd.store.database import connect_reader
from relayd.store.records import BlobRef, NewMessage
from relayd.store.sqlite import SqliteStore
from relayd.store.verify import database_of
from tests.store.rig import FailingDisk, Rig


class WatchingDisk(FailingDisk):
    """Notes for each sync of a segment how many messages had rows by then."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self._state = state
        self.rows_at_sync: list[int] = []

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        db = connect_reader(database_of(self._state))
        self.rows_at_sync.append(db.execute("SELECT count(*) FROM message").fetchone()[0])
        db.close()


CONTENT = b"Subject: x\r\n\r\nbody\r\n"


async def kept(rig: Rig) -> NewMessage:
    """A message whose body is where it stays, without having been synced."""
    message = await rig.message(content=CONTENT)
    receiving = rig.blobs.receive(rig.vault.open("hospital", message.epoch, message.id, message.wrapped_key))
    receiving.write(CONTENT)
    return msgspec.structs.replace(message, body=await rig.blobs.keep(receiving.finish()))


async def test_a_group_s_bodies_are_synced_once_and_before_any_row(rig: Rig) -> None:
    messages = [await kept(rig) for _ in range(5)]
    disk = WatchingDisk(rig.state)
    store = await SqliteStore.open(rig.state, rig.clock, rig.settings, disk=disk)
    await asyncio.gather(*[store.accept(message) for message in messages])
    assert disk.rows_at_sync == [0]
    await store.accept(await kept(rig))
    assert disk.rows_at_sync == [0, 5]
    await store.close()
    assert rig.verify() == []


async def test_a_body_that_can_t_be_synced_gets_no_row(rig: Rig, store: SqliteStore) -> None:
    message = await kept(rig)
    rig.disk.broken = {"sync_data"}
    with pytest.raises(StoreUnavailable):
        await store.accept(message)
    rig.disk.broken = set()
    assert await store.deliveries(message.id) == []
    rig.blobs.distrust()
    after = await kept(rig)
    assert after.body.file != message.body.file
    await store.accept(after)
    assert len(await store.deliveries(after.id)) == 1


async def test_a_row_can_t_point_at_a_file_that_isn_t_there(rig: Rig, store: SqliteStore) -> None:
    message = await rig.message()
    lost = msgspec.structs.replace(message, body=BlobRef("2026-W48/w1-none.segment", 0, 100))
    with pytest.raises(StoreUnavailable):
        await store.accept(lost)
    await store.accept(message)


async def test_a_segment_that_was_given_up_counts_as_lost(rig: Rig) -> None:
    message = await kept(rig)
    await rig.blobs.sync(message.body)
    rig.blobs.distrust()
    with pytest.raises(StoreUnavailable):
        await rig.blobs.sync(message.body)


async def test_a_failed_sync_gives_up_the_segment(rig: Rig) -> None:
    message = await kept(rig)
    rig.disk.broken = {"sync_data"}
    with pytest.raises(StoreUnavailable):
        await rig.blobs.sync(message.body)
    rig.disk.broken = set()
    assert (await kept(rig)).body.file != message.body.file
