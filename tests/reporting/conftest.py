from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.store.sqlite import SqliteStore
from tests.store.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.blobs.close()


@pytest.fixture
async def store(rig: Rig) -> AsyncIterator[SqliteStore]:
    store = await rig.open()
    yield store
    await store.close()
