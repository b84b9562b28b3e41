"""What relayd relies on is on the disk, also when another process made it and was killed before it could sync.

A killed process leaves what it did in the kernel's memory: the next one sees it, and must not take it for durable.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.crash.two_lives import MOST
from tests.kit.power_cut import Disk, lay_out
from tests.kit.preload import unavailable
from tests.kit.process import ROOT
from tests.kit.recording import Recorder
from tests.store.rig import Rig

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


def after_two_lives(piece: str, folder: Path) -> list[tuple[str, Rig]]:
    """For each sync in place of which a first process died: what the second one said, and what a power cut then left
    of nothing but what was synced."""
    root = folder / "disk"
    for number in range(1, MOST + 1):
        Rig(root / f"{number:02d}")  # the root key, and folders for everything else
    disk, recorder = Disk(root), Recorder(root, folder / "log")
    subprocess.run(
        [sys.executable, "-m", "tests.crash.two_lives", piece, root],
        env={**os.environ, **recorder.environment},
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    disk.apply(recorder.entries())
    lay_out(disk.cut(Random(1), 0.0), folder / "after")
    said = json.loads((folder / "disk.said").read_text())
    assert said, "it makes no sync at all"
    return [(words, Rig(folder / "after" / name)) for name, words in said.items()]


def test_an_epoch_key(folder: Path) -> None:
    for epoch, left in after_two_lives("key", folder):
        assert left.epochs.all() == [("hospital", epoch)]


@pytest.mark.parametrize("piece", ["small_body", "large_body"])
def test_a_body(folder: Path, piece: str) -> None:
    for name, left in after_two_lives(piece, folder):
        assert left.blobs.size_of(name) > 0


def test_an_accepted_message(folder: Path) -> None:
    async def known(rig: Rig, message_id: str) -> str:
        store = await rig.open()
        try:
            return (await store.message(message_id)).id
        finally:
            await store.close()

    for message_id, left in after_two_lives("accept", folder):
        assert asyncio.run(known(left, message_id)) == message_id


def test_a_maildir(folder: Path) -> None:
    for _, left in after_two_lives("maildir", folder):
        assert sorted(path.name for path in (left.folder / "maildir" / "anna").iterdir()) == ["cur", "new", "tmp"]
