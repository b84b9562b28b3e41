"""Copies that were made anew: one for each, and gone with their message."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from relayd.errors import NotFound, SealBroken
from relayd.journal.event import Event
from relayd.mail.meta import Derived
from relayd.store.derived import NOT_MADE, DerivedCopy
from relayd.store.purge import Purge
from relayd.store.sqlite import FILE, SqliteStore
from relayd.vault.meta import copy_part, seal_derived
from relayd.vault.vault import MessageKey
from tests.store.rig import DAY, Rig

CONTENT = b"Subject: x\r\n\r\ncanary-derived\r\n"


@pytest.fixture
async def store(rig: Rig) -> AsyncIterator[SqliteStore]:
    store = await rig.open()
    yield store
    await store.close()


async def copy_of(rig: Rig, key: MessageKey, copy: int = 0, content: bytes = CONTENT) -> DerivedCopy:
    receiving = rig.blobs.receive(key, copy_part(copy))
    receiving.write(content)
    ref = await rig.blobs.make_durable(receiving.finish())
    return DerivedCopy(len(content), ref, seal_derived(key, copy, Derived(12)))


async def keep(store: SqliteStore, message_id: str, derived: DerivedCopy, copy: int = 0) -> bool:
    events = [Event(1.0, "transformed")]
    kept: bool = await store.call("derived_keep", message_id=message_id, copy=copy, derived=derived, events=events)
    return kept


async def test_the_first_that_is_kept_is_everybodys(rig: Rig, store: SqliteStore) -> None:
    key = rig.key()
    message = await rig.message(key=key)
    await store.accept(message)
    assert await store.call("derived_copy", message_id=message.id, copy=0) is None
    first = await copy_of(rig, key)
    assert await keep(store, message.id, first)
    assert not await keep(store, message.id, NOT_MADE)
    assert await store.call("derived_copy", message_id=message.id, copy=0) == first
    assert [event.kind for event in await store.journal(message.id)].count("transformed") == 1


async def test_it_opens_as_this_copy_of_this_message_only(rig: Rig, store: SqliteStore) -> None:
    key = rig.key()
    message = await rig.message(key=key)
    await store.accept(message)
    derived = await copy_of(rig, key, 1)
    assert rig.blobs.open(derived.body, key, 12, derived.size, copy_part(1)).read(0, 99) == CONTENT
    with pytest.raises(SealBroken):
        rig.blobs.open(derived.body, key, 12, derived.size, copy_part(2)).read(0, 99)
    with pytest.raises(SealBroken):
        rig.blobs.open(derived.body, key, 12, derived.size).read(0, 99)


@pytest.mark.parametrize("size", [100, 400_000])
async def test_what_is_kept_passes_every_check_and_is_swept_by_nobody(rig: Rig, store: SqliteStore, size: int) -> None:
    key = rig.key()
    message = await rig.message(key=key)
    await store.accept(message)
    await keep(store, message.id, await copy_of(rig, key, content=b"A: b\r\n\r\n" + bytes(size)))
    await keep(store, message.id, NOT_MADE, copy=1)
    await rig.blobs.close()
    rig.clock.turn(7 * DAY)
    assert await Purge(store, rig.epochs, rig.blobs, rig.clock, None).sweep() == 0
    assert rig.verify() == []


async def test_it_goes_with_its_message(rig: Rig, store: SqliteStore) -> None:
    key = rig.key()
    message = await rig.message(key=key, days=1)
    await store.accept(message)
    await keep(store, message.id, await copy_of(rig, key))
    purge = Purge(store, rig.epochs, rig.blobs, rig.clock, None)
    await purge.run()
    for _ in range(10):
        rig.clock.turn(0.9 * DAY)
        await purge.run()
    assert await store.call("derived_copy", message_id=message.id, copy=0) is None
    with pytest.raises(NotFound):
        await keep(store, message.id, NOT_MADE)


async def test_nothing_is_kept_of_a_message_whose_day_has_come(rig: Rig, store: SqliteStore) -> None:
    message = await rig.message(days=1)
    await store.accept(message)
    rig.clock.turn(1.5 * DAY)
    await store.call("forget_expired")
    with pytest.raises(NotFound):
        await keep(store, message.id, NOT_MADE)


async def test_a_database_of_before_there_were_any_is_sound_and_gets_the_table(rig: Rig) -> None:
    store = await rig.open()
    key = rig.key()
    message = await rig.message(key=key)
    await store.accept(message)
    await store.close()
    with closing(sqlite3.connect(rig.state / FILE)) as db:
        db.execute("DROP TABLE derived")
        db.execute("PRAGMA user_version = 3")
    assert rig.verify() == []
    store = await rig.open()
    assert await keep(store, message.id, await copy_of(rig, key))
    await store.close()
