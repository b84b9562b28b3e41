"""Runs a piece of relayd in two processes, one after the other, of which the first dies in place of a sync.

``python -m tests.crash.two_lives PIECE FOLDER``, under the recorder: once for each sync that the piece makes, each time
on another folder below FOLDER. What the second process says goes to FOLDER.said, as JSON by name of the folder.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from relayd.delivery.mailbox import make_maildir
from relayd.vault.epochs import epoch_of
from tests.store.rig import START, Rig

#: More than any piece makes.
MOST = 20


def key(folder: Path) -> str:
    """A message is sealed."""
    return Rig(folder).key().epoch


def small_body(folder: Path) -> str:
    return _body(folder, 10)


def large_body(folder: Path) -> str:
    return _body(folder, 400_000)


def _body(folder: Path, size: int) -> str:
    rig = Rig(folder)
    return asyncio.run(rig.body(rig.key(), b"A: b\r\n\r\n" + b"x" * size)).file


def accept(folder: Path) -> str:
    """A message is committed; the second process sends the same again, as a worker does whose store died."""
    return asyncio.run(_accept(folder))


async def _accept(folder: Path) -> str:
    rig, kept = Rig(folder), folder.with_name(f"{folder.name}.message")
    if not kept.exists():
        kept.write_bytes(pickle.dumps(await rig.message()))
    message = pickle.loads(kept.read_bytes())  # noqa: S301 - our own
    store = await rig.open()
    await store.accept(message)
    # No tidy end, which would sync.
    return str(message.id)


def maildir(folder: Path) -> str:
    """A mailbox is delivered to for the first time."""
    make_maildir(folder / "maildir" / "anna")
    return "made"


PIECES = {piece.__name__: piece for piece in (key, small_body, large_body, accept, maildir)}


def _in_a_process(piece: Callable[[Path], str], folder: Path, die_at: int) -> str | None:
    """What the piece says, None when it died."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        library = ctypes.CDLL(None)
        ctypes.c_long.in_dll(library, "record_syncs").value = 0
        ctypes.c_long.in_dll(library, "record_die_at").value = die_at
        os.write(writing, piece(folder).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with open(reading, "rb") as said:
        words = said.read().decode()
    os.waitpid(pid, 0)
    return words or None


def main() -> None:
    piece, root = PIECES[sys.argv[1]], Path(sys.argv[2])
    epoch_of(START)  # what is imported and cached now is so in every process
    said: dict[str, str | None] = {}
    for die_at in range(1, MOST + 1):
        folder = root / f"{die_at:02d}"
        if _in_a_process(piece, folder, die_at) is not None:
            break  # it made fewer syncs than that
        said[folder.name] = _in_a_process(piece, folder, 0)
    Path(f"{root}.said").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
