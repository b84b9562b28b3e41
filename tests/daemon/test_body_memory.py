"""A body passes through in blocks: whatever its size, only some of it is in memory, and never twice."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relayd.daemon.arriving import Arriving
from relayd.delivery.stuffing import DotStuffer
from relayd.store.receiving import BLOCK
from tests.store.rig import Rig

HEAD = b"From: a@hospital.example\r\nContent-Type: application/octet-stream\r\n\r\n"
#: Like a read from the socket: whole lines.
LINES = (b"x" * 76 + b"\r\n") * 840
COUNT = 256
SIZE = len(HEAD) + COUNT * len(LINES)
#: Blocks of 256 KiB that may exist at once on the way in or out: the one that came, its sealed twin, what is held back.
MOST = 8 * BLOCK


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@contextmanager
def at_most(octets: int) -> Iterator[None]:
    """Fails when more than this was allocated at once within the context, beyond what was there before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < octets


async def test_a_large_body_is_never_in_memory_as_a_whole(rig: Rig) -> None:
    assert SIZE > 7 * MOST
    key = rig.key()
    with at_most(MOST):
        arriving = Arriving(key, "hospital", key.epoch, rig.blobs.receive(key), sign=True)
        arriving.write(HEAD)
        for _ in range(COUNT):
            arriving.write(LINES)
        stored = arriving.blob.finish()
        ref = await rig.blobs.make_durable(stored)
    body = rig.blobs.open(ref, key, len(HEAD) - 2, SIZE)
    stuffer, sent = DotStuffer(), 0
    with at_most(MOST):
        async for block in body.blocks():
            sent += len(stuffer.feed(block))
    assert sent == SIZE
    await rig.blobs.close()


async def test_a_small_body_is_held_once(rig: Rig) -> None:
    """Small bodies wait in memory for their group's sync: what is held for each bounds how many may wait."""
    key = rig.key()
    with at_most(3 * BLOCK):
        arriving = Arriving(key, "hospital", key.epoch, rig.blobs.receive(key), sign=True)
        for _ in range(3):
            arriving.write(LINES)
        stored = arriving.blob.finish()
    assert len(stored.plain) == 3 * len(LINES)
    await rig.blobs.close()
