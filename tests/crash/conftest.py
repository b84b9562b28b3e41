"""Where the short campaigns run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")
#: What relayd wants free, and room for what it writes.
_ROOM = 2 * 2**30


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room: a kill doesn't ask where the kernel keeps files, and power cuts are played from a
    recording, so that a disk's time for real syncs would buy nothing."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        with tempfile.TemporaryDirectory(prefix="relayd-crash-", dir=_MEMORY) as name:
            yield Path(name)
    else:
        yield tmp_path
