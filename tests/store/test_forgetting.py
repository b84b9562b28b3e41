"""Retention: what has had its day can't be opened by anyone, from any backup, and nothing of others is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from relayd.errors import KeyDestroyed, NotFound, VaultError
from relayd.store.forgetting import Ending, Epoch
from relayd.store.purge import Purge, Purged
from relayd.store.records import NewMessage, State
from relayd.store.sqlite import SqliteStore
from tests.store.rig import DAY, Rig


def purge_of(rig: Rig, store: SqliteStore, told: list[Ending] | None = None) -> Purge:
    async def tell(ending: Ending) -> None:
        if told is not None:
            told.append(ending)

    return Purge(store, rig.epochs, rig.blobs, rig.clock, tell)


async def days_pass(rig: Rig, store: SqliteStore, days: int) -> None:
    """With the clock looked at every day, as rounds do."""
    for _ in range(days):
        rig.clock.turn(DAY)
        assert await store.call("clock_is_steady")


async def opens(rig: Rig, message: NewMessage) -> bool:
    try:
        key = rig.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    except VaultError:
        return False
    body = rig.blobs.open(message.body, key, 0, message.size)
    return b"canary" in b"".join([block async for block in body.blocks()])


async def test_before_its_day_nothing_is_forgotten(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(days=90)
    await store.accept(new)
    rig.clock.turn(89 * DAY)
    assert (await purge_of(rig, store).run()).expired == 0
    assert await opens(rig, new)
    assert rig.verify() == []


async def test_on_its_day_a_message_loses_its_key_and_what_still_waits_fails(rig: Rig, store: SqliteStore) -> None:
    old, young = await rig.message(days=10, state=State.HELD), await rig.message(days=20)
    for message in (old, young):
        await store.accept(message)
    rig.clock.turn(10 * DAY)
    done = await purge_of(rig, store).run()
    assert (done.expired, done.epochs) == (1, 0)
    stored = await store.message(old.id)
    assert (stored.wrapped_key, stored.meta) == (b"", b"")
    with pytest.raises(KeyDestroyed):
        rig.vault.open(stored.organisation, stored.epoch, stored.id, stored.wrapped_key)
    assert (await store.deliveries(old.id))[0].state is State.FAILED
    assert [event.kind for event in await store.journal(old.id)][-2:] == ["failed", "key-removed"]
    assert await opens(rig, young)
    assert rig.verify() == []


async def test_when_the_last_message_of_the_week_is_due_the_epoch_goes(rig: Rig, store: SqliteStore) -> None:
    gone = [await rig.message(days=30), await rig.message(days=30, content=b"X: y\r\n\r\n" + b"canary" * 100_000)]
    other = await rig.message(days=30, organisation="clinic")
    rig.clock.turn(6 * DAY)
    late = await rig.message(days=31, organisation="clinic")
    for message in (*gone, other, late):
        await store.accept(message)
    rig.clock.turn(25 * DAY)
    done = await purge_of(rig, store).run()
    assert (done.expired, done.epochs) == (3, 1)
    for message in gone:
        with pytest.raises(NotFound):
            await store.message(message.id)
        assert await store.journal(message.id) == []
        assert await store.deliveries(message.id) == []
    [event] = await store.journal("")
    assert event.kind == "epoch-destroyed"
    assert event.facts == {"organisation": "hospital", "epoch": gone[0].epoch, "messages": 2}
    assert await opens(rig, late)
    assert rig.verify() == []


async def test_a_week_that_is_not_over_keeps_its_key(rig: Rig, store: SqliteStore) -> None:
    await store.accept(await rig.message(days=1))
    rig.clock.turn(2 * DAY)
    assert (await purge_of(rig, store).run()).epochs == 0
    await days_pass(rig, store, 7)
    assert (await purge_of(rig, store).run()).epochs == 1


async def test_a_backup_from_before_the_destruction_opens_nothing(rig: Rig, store: SqliteStore, tmp_path: Path) -> None:
    new = await rig.message(days=30)
    await store.accept(new)
    assert await opens(rig, new)
    shutil.copytree(rig.state, tmp_path / "backup" / "state", ignore=shutil.ignore_patterns("*.sock"))
    rig.clock.turn(38 * DAY)
    assert (await purge_of(rig, store).run()).epochs == 1
    # The whole of the state as it was, with all keys that exist today.
    shutil.copytree(rig.keys, tmp_path / "backup" / "keys")
    restored = Rig(tmp_path / "backup")
    copy = await restored.open()
    assert (await copy.message(new.id)).wrapped_key == new.wrapped_key
    assert not await opens(restored, new)
    assert {violation.rule for violation in restored.verify()} >= {"key", "content"}
    await copy.close()
    await restored.blobs.close()


async def test_files_whose_every_message_is_gone_are_unlinked(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(days=30)
    large = await rig.message(days=30, content=b"X: y\r\n\r\n" + b"canary" * 100_000)
    for message in (new, large):
        await store.accept(message)
    await rig.blobs.close()
    rig.blobs = rig.worker("w2")
    rig.clock.turn(38 * DAY)
    assert (await purge_of(rig, store).run()).files == 2
    assert list(rig.blobs.files()) == []


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_round_that_was_cut_off_is_finished_by_the_next(rig: Rig, store: SqliteStore, steps: int) -> None:
    new = await rig.message(days=30)
    await store.accept(new)
    rig.clock.turn(38 * DAY)
    epoch = Epoch("hospital", new.epoch)
    await store.call("forget_expired")
    if steps > 1:
        assert await store.call("epoch_is_due", epoch=epoch)
    if steps > 2:
        rig.epochs.destroy("hospital", new.epoch)
    assert (await purge_of(rig, store).run()).epochs == 1
    assert await purge_of(rig, store).run() == Purged()
    assert len(await store.journal("")) == 1
    assert rig.verify() == []


async def test_the_sender_of_what_still_waits_is_told_first_and_once(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message("a@clinic.example", "b@clinic.example", days=30, state=State.HELD)
    new = msgspec.structs.replace(new, require_tls=True)
    await store.accept(new)
    await store.accept(await rig.message(days=90))
    told: list[Ending] = []
    for _ in range(14):
        await days_pass(rig, store, 2)
        await purge_of(rig, store, told).run()
    assert [(ending.message_id, ending.sender, ending.recipients) for ending in told] == [
        (new.id, "info@hospital.example", ("a@clinic.example", "b@clinic.example"))
    ]
    assert told[0].require_tls
    assert (await store.deliveries(new.id))[0].state is State.HELD
    await days_pass(rig, store, 3)
    await purge_of(rig, store, told).run()
    assert len(told) == 1
    assert (await store.deliveries(new.id))[0].state is State.FAILED


async def test_even_after_a_long_standstill_the_sender_is_told_before_it_fails(rig: Rig, store: SqliteStore) -> None:
    await store.accept(await rig.message(days=30, state=State.HELD))
    rig.clock.turn(31 * DAY)
    told: list[Ending] = []
    await purge_of(rig, store, told).run()
    assert len(told) == 1


async def test_orphans_are_swept_and_bodies_with_rows_stay(rig: Rig, store: SqliteStore) -> None:
    orphan = await rig.body(rig.key(), b"X: y\r\n\r\n" + b"z" * 1_000_000)
    kept = await rig.message(content=b"X: y\r\n\r\n" + b"z" * 1_000_000)
    await store.accept(kept)
    # The files carry the real clock's times, whatever the rig's says.
    rig.clock.wall = max(facts.st_mtime for _, facts in rig.blobs.files()) + DAY
    assert [violation.subject for violation in rig.verify()] == [orphan.file]
    assert await purge_of(rig, store).sweep() == 1
    assert rig.verify() == []


async def test_a_file_whose_row_is_still_to_come_survives_a_jump_of_the_clock(rig: Rig, store: SqliteStore) -> None:
    late = await rig.message(content=b"X: y\r\n\r\n" + b"canary" * 100_000)
    purge = purge_of(rig, store)
    assert await purge.sweep() == 0
    rig.clock.wall += 365 * DAY
    assert await purge.sweep() == 0
    await store.accept(late)
    assert await purge.sweep() == 0
    assert await opens(rig, late)


@pytest.mark.parametrize("jump", [365 * DAY, -3 * DAY], ids=["a year ahead", "three days back"])
async def test_after_a_jump_of_the_clock_nothing_is_forgotten_for_three_days(
    rig: Rig, store: SqliteStore, jump: float
) -> None:
    new = await rig.message(days=30)
    await store.accept(new)
    purge = purge_of(rig, store)
    await purge.run()
    await days_pass(rig, store, 29)
    rig.clock.wall += jump
    assert await purge.run() == Purged()
    assert await opens(rig, new)
    # Three days of a clock that goes on as it should, wherever it stands, are believed.
    for _ in range(3):
        rig.clock.turn(DAY)
        await purge.run()
    assert await opens(rig, new) is (jump < 0)


async def test_a_clock_set_right_before_the_doubt_ends_has_cost_nothing(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(days=30)
    await store.accept(new)
    purge = purge_of(rig, store)
    await purge.run()
    for jump in (365 * DAY, -365 * DAY):
        rig.clock.wall += jump
        assert await purge.run() == Purged()
        rig.clock.turn(DAY)
    for _ in range(4):
        rig.clock.turn(DAY)
        await purge.run()
    assert await opens(rig, new)
    assert rig.verify() == []
