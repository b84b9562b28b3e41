"""Bodies before rows: what an accept promises is synced by the store before a row points at it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from relayd.errors import BodyNotStored, StoreUnavailable
from relayd.store.blobs import Blobs
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


class ForgetfulDisk(FailingDisk):
    """Fails the next ``failures`` syncs and then says that all is well, as the kernel does: it tells of a failed write
    once, and the pages count as clean."""

    failures = 1

    def sync_data(self, descriptor: int) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        super().sync_data(descriptor)


async def kept(rig: Rig) -> NewMessage:
    """A message whose body is where it stays, without having been synced."""
    return await kept_by(rig.blobs, rig)


async def kept_by(blobs: Blobs, rig: Rig) -> NewMessage:
    """The same with another worker's segment."""
    rig.blobs, own = rig.worker("w0"), rig.blobs
    message = await rig.message(content=CONTENT)
    await rig.blobs.close()
    rig.blobs = own
    receiving = blobs.receive(rig.vault.open("hospital", message.epoch, message.id, message.wrapped_key))
    receiving.write(CONTENT)
    return msgspec.structs.replace(message, body=await blobs.keep(receiving.finish()))


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


async def test_what_lies_in_a_segment_that_failed_once_is_never_accepted(rig: Rig) -> None:
    first, second = await kept(rig), await kept(rig)
    store = await SqliteStore.open(rig.state, rig.clock, rig.settings, disk=ForgetfulDisk())
    for message in (first, second):
        with pytest.raises(BodyNotStored):
            await store.accept(message)
        assert await store.deliveries(message.id) == []
    await store.close()


async def test_a_failure_that_one_sync_was_told_of_counts_for_all_that_waited(rig: Rig) -> None:
    blobs = Blobs(rig.state / "blobs", "w2", settings=rig.settings, clock=rig.clock, disk=ForgetfulDisk())
    messages = [await kept_by(blobs, rig) for _ in range(3)]
    results = await asyncio.gather(*[blobs.sync(message.body) for message in messages], return_exceptions=True)
    assert [type(result) for result in results] == [BodyNotStored] * 3
    assert not any(blobs.trusts(message.body) for message in messages)


async def test_a_failed_append_says_nothing_of_what_was_appended_before(rig: Rig, store: SqliteStore) -> None:
    before = await kept(rig)
    rig.disk.broken = {"append"}
    key = rig.key()
    receiving = rig.blobs.receive(key)
    receiving.write(CONTENT)
    with pytest.raises(BodyNotStored):
        await rig.blobs.keep(receiving.finish())
    rig.disk.broken = set()
    await store.accept(before)
    assert rig.blobs.trusts(before.body)
    assert (await kept(rig)).body.file != before.body.file


async def test_a_start_leaves_nothing_in_the_log(rig: Rig) -> None:
    """A commit whose sync had failed would be read from it, and lost in the next power cut with all behind it."""
    store = await rig.open()
    await store.accept(await rig.message())
    left = {name: (rig.state / name).read_bytes() for name in ("relayd.db", "relayd.db-wal")}
    assert left["relayd.db-wal"]
    await store.close()
    for name, octets in left.items():  # as a killed process leaves it
        (rig.state / name).write_bytes(octets)
    again = await rig.open()
    assert (rig.state / "relayd.db-wal").stat().st_size == 0
    await again.close()
    assert rig.verify() == []
