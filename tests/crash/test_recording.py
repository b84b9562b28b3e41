"""The recorder sees every way in which files change: what is played from its log is what is on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.kit.power_cut import Disk
from tests.kit.preload import unavailable
from tests.kit.recording import Recorder

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

_CHANGES = """
import os, sqlite3, sys
os.chdir(sys.argv[1])
here = os.getcwd()
new = os.O_RDWR | os.O_CREAT | os.O_EXCL

one = os.open(f"{here}/one", new)
os.write(one, b"written")
os.pwrite(one, b"W", 0)
os.writev(one, [b", ", b"gathered"])
two = os.dup(one)
os.write(two, b", through a copy")
os.fsync(two)

os.mkdir(f"{here}/folder")
os.rename(f"{here}/one", f"{here}/folder/moved")
os.link(f"{here}/folder/moved", f"{here}/linked")
with open(f"{here}/appended", "wb") as file:
    file.write(b"first")
with open(f"{here}/appended", "ab") as file:
    file.write(b" and more")
os.truncate(os.open(f"{here}/shorter", new), 3)
os.ftruncate(os.open(f"{here}/longer", new), 5000)
os.unlink(os.path.join(here, "old"))
os.mkdir(f"{here}/gone")
os.rmdir(f"{here}/gone")
try:
    os.mkdir(f"{here}/folder")
    os.rename(f"{here}/nothing", f"{here}/folder")
except OSError:
    pass

db = sqlite3.connect(f"{here}/some.db")
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE t (x)")
db.executemany("INSERT INTO t VALUES (?)", [("y" * 1000,) for _ in range(100)])
db.commit()
os._exit(0)
"""


def _content(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.name.endswith("-shm")  # changed by mmap, and no start trusts it
    }


def test_what_is_played_is_what_happened(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    disk, recorder = Disk(root), Recorder(root, tmp_path / "log")
    subprocess.run(
        [sys.executable, "-c", _CHANGES, root], env={**os.environ, **recorder.environment}, timeout=60, check=True
    )
    disk.apply(recorder.entries())
    played = disk.cut(Random(3), 1.0)
    assert {name: content for name, content in played.items() if not name.endswith("-shm")} == _content(root)
    synced = disk.cut(Random(3), 0.0)
    assert "old" not in synced  # SQLite syncs the folder of its log, and with it all names there
    assert synced["linked"] == b"Written, gathered, through a copy"
    assert synced["appended"] == b""
    assert b"y" * 1000 in (synced["some.db-wal"] or b"")
