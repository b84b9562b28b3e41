"""Bodies on disk: what goes in comes out, nothing lies there in the clear, and a sick disk is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relayd.errors import SealBroken, StoreUnavailable
from relayd.mail.body import Body
from relayd.store.records import BlobRef
from tests.store.rig import DAY, Rig

HEAD = b"From: a@hospital.example\r\nSubject: canary-subject\r\n"


def content(size: int) -> bytes:
    filler = b"canary-body 0123456789abcdefghijklmnopqrstuvwxyz\r\n"
    return HEAD + b"\r\n" + (filler * (size // len(filler) + 1))[:size]


async def read(body: Body, start: int = 0, length: int | None = None) -> bytes:
    blocks = [block async for block in body.blocks(start, length)]
    assert all(0 < len(block) <= 256 * 1024 for block in blocks)
    return b"".join(blocks)


SIZES = [0, 1, 4096, 65_000, 66_000, 262_144, 300_000, 1_500_000]


@pytest.mark.parametrize("size", SIZES)
async def test_a_body_comes_out_as_it_went_in(rig: Rig, size: int) -> None:
    key, plain = rig.key(), content(size)
    receiving = rig.blobs.receive(key)
    for start in range(0, len(plain), 9_999):
        receiving.write(plain[start : start + 9_999])
    stored = receiving.finish()
    assert (stored.head, stored.size) == (HEAD, len(plain))
    assert await read(stored) == plain
    ref = await rig.blobs.make_durable(stored)
    again = rig.vault.open("hospital", key.epoch, key.message_id, key.wrapped)
    body = rig.blobs.open(ref, again, len(HEAD), len(plain))
    for one in (stored, body):
        assert one.head == HEAD
        assert await read(one) == plain
        for start, length in ((0, 10), (len(plain) - 3, 3), (7, None), (65_400, 200), (len(plain) + 5, None), (5, 0)):
            assert await read(one, start, length) == plain[start:][:length]


async def test_reading_a_large_body_lets_others_have_their_turn(rig: Rig) -> None:
    """Also when all of it is in the page cache and nothing has to be waited for."""
    key, plain = rig.key(), content(4_000_000)
    body = rig.blobs.open(await rig.body(key, plain), key, len(HEAD), len(plain))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    blocks = [block async for block in body.blocks()]
    going_on.cancel()
    assert b"".join(blocks) == plain
    assert turns >= len(blocks) > 10


@pytest.mark.parametrize(
    ("plain", "head"),
    [
        (b"", b""),
        (b"\r\nbody", b""),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n"),
        (b"no head", b"no head"),
    ],
)
async def test_the_head_ends_before_the_empty_line(rig: Rig, plain: bytes, head: bytes) -> None:
    receiving = rig.blobs.receive(rig.key())
    receiving.write(plain)
    assert receiving.finish().head == head


async def test_a_long_head_is_found_when_its_end_lies_between_two_blocks(rig: Rig) -> None:
    head = b"X: " + b"a" * 300_000 + b"\r\n"
    receiving = rig.blobs.receive(rig.key())
    receiving.write(head)
    receiving.write(b"\r")
    receiving.write(b"\n" + b"b" * 100_000)
    assert receiving.finish().head == head


async def test_many_small_bodies_share_a_segment_and_stay_apart(rig: Rig) -> None:
    keys = [rig.key() for _ in range(200)]
    plains = [HEAD + b"\r\n" + bytes([number]) * number for number in range(200)]
    refs = await asyncio.gather(*[rig.body(key, plain) for key, plain in zip(keys, plains, strict=True)])
    assert len({ref.file for ref in refs}) == 1
    for key, plain, ref in zip(keys, plains, refs, strict=True):
        assert await read(rig.blobs.open(ref, key, len(HEAD), len(plain))) == plain


async def test_a_full_segment_is_followed_by_another(rig: Rig) -> None:
    rig.settings = rig.settings.model_copy(update={"segment_size": 10_000})
    blobs = rig.worker("w9")
    files = [(await rig.body(rig.key(), content(6_000), blobs)).file for _ in range(4)]
    assert len(set(files)) == 2
    await blobs.close()


async def test_each_week_has_its_own_segment(rig: Rig) -> None:
    files = []
    for _ in range(4):
        files.append((await rig.body(rig.key(), content(10))).file)
        rig.clock.turn(7 * DAY)
    assert len({file.partition("/")[0] for file in files}) == 4


async def test_nothing_lies_on_disk_in_the_clear(rig: Rig) -> None:
    await rig.body(rig.key(), content(4_000))
    await rig.body(rig.key(), content(2_000_000))
    half = rig.blobs.receive(rig.key())
    half.write(content(900_000))
    on_disk = b"".join(path.read_bytes() for path in rig.state.rglob("*") if path.is_file())
    assert len(on_disk) > 2_500_000
    assert b"canary" not in on_disk
    half.discard()


@pytest.mark.parametrize("size", [100, 1_000_000])
async def test_a_discarded_body_leaves_nothing(rig: Rig, size: int) -> None:
    receiving = rig.blobs.receive(rig.key())
    receiving.write(content(size))
    receiving.discard()
    receiving.discard()
    finished = rig.blobs.receive(rig.key())
    finished.write(content(size))
    finished.finish()
    finished.discard()
    assert list(rig.blobs.files()) == []


@pytest.mark.parametrize("size", [4_000, 1_000_000])
async def test_a_body_opens_for_its_own_message_only(rig: Rig, size: int) -> None:
    one, other, plain = rig.key(), rig.key(), content(size)
    ref = await rig.body(one, plain)
    with pytest.raises(SealBroken):
        await read(rig.blobs.open(ref, other, len(HEAD), len(plain)))


async def test_moved_and_altered_bodies_do_not_open(rig: Rig) -> None:
    one, other, plain = rig.key(), rig.key(), content(1_000_000)
    ref, moved = await rig.body(one, plain), await rig.body(other, plain)
    (rig.state / "blobs" / ref.file).write_bytes((rig.state / "blobs" / moved.file).read_bytes())
    with pytest.raises(SealBroken):
        await read(rig.blobs.open(ref, one, len(HEAD), len(plain)))
    cut = rig.state / "blobs" / moved.file
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(SealBroken):
        await read(rig.blobs.open(moved, other, len(HEAD), len(plain)))


async def test_a_missing_file_is_told_as_such(rig: Rig) -> None:
    body = rig.blobs.open(BlobRef("2026-W48/none.body", 0, 1080), rig.key(), 0, 1024)
    with pytest.raises(StoreUnavailable):
        await read(body)


@pytest.mark.parametrize("size", [4_000, 1_000_000])
@pytest.mark.parametrize("call", ["append", "sync_data", "sync", "free"])
async def test_a_sick_disk_is_told_and_a_well_one_works_again(rig: Rig, size: int, call: str) -> None:
    plain = content(size)
    await rig.body(rig.key(), plain)
    rig.clock.turn(2)
    rig.disk.broken = {call, *(["sync"] if call == "sync_data" else ["sync_data"] if call == "sync" else [])}
    with pytest.raises(StoreUnavailable):
        await rig.body(rig.key(), plain)
    rig.disk.broken = set()
    key = rig.key()
    ref = await rig.body(key, plain)
    assert await read(rig.blobs.open(ref, key, len(HEAD), len(plain))) == plain


async def test_after_a_failed_sync_the_same_file_is_never_written_again(rig: Rig) -> None:
    before = await rig.body(rig.key(), content(100))
    rig.disk.broken = {"sync_data"}
    with pytest.raises(StoreUnavailable):
        await rig.body(rig.key(), content(100))
    rig.disk.broken = set()
    assert (await rig.body(rig.key(), content(100))).file != before.file


async def test_a_nearly_full_disk_refuses(rig: Rig) -> None:
    rig.settings = rig.settings.model_copy(update={"minimum_free": 1000})
    blobs = rig.worker("w9")
    rig.disk.free_octets = 999
    with pytest.raises(StoreUnavailable):
        await rig.body(rig.key(), content(10), blobs)
    rig.disk.free_octets = 1000
    rig.clock.turn(1)
    await rig.body(rig.key(), content(10), blobs)
    await blobs.close()


async def test_only_old_files_that_nobody_writes_to_are_swept(rig: Rig) -> None:
    large, small = await rig.body(rig.key(), content(1_000_000)), await rig.body(rig.key(), content(10))
    rig.clock.wall = max(facts.st_mtime for _, facts in rig.blobs.files()) + 3000
    assert rig.blobs.sweep_candidates(rig.clock.now()) == []
    rig.clock.turn(1000)
    assert set(rig.blobs.sweep_candidates(rig.clock.now())) == {large.file, small.file}
    assert rig.blobs.sweep([large.file, small.file]) == 1
    await rig.blobs.close()
    assert rig.blobs.sweep([large.file, small.file]) == 1
    assert list(rig.blobs.files()) == []


async def test_files_are_private(rig: Rig) -> None:
    await rig.body(rig.key(), content(10))
    await rig.body(rig.key(), content(1_000_000))
    for path in [rig.state, *rig.state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, Path(path)
