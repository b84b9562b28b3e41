"""relayd with one of its promises broken, to see that the campaign notices: runs as ``relayd`` does, behind a word.

``early-250`` answers before the commit, ``drop-row`` forgets one message in twenty. The two that concern syncs are the
recorder's (tests/kit/preload/record.c).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections.abc import Callable

from relayd.cli.main import main
from relayd.daemon.intake import IntakeTransaction
from relayd.store import claims
from relayd.store.records import NewMessage

#: Which of the recorder's syncs are void, by the word on the command line.
SYNCS = {"no-fsync": "files", "no-dir-fsync": "folders"}
#: How long an early 250 is ahead of its commit, in seconds.
_AHEAD = 0.05


def _early_250() -> None:
    accept = IntakeTransaction._accept
    running: set[asyncio.Task[None]] = set()

    async def later(transaction: IntakeTransaction, message: NewMessage) -> None:
        await asyncio.sleep(_AHEAD)
        await accept(transaction, message)

    async def at_once(transaction: IntakeTransaction, message: NewMessage) -> None:
        task = asyncio.create_task(later(transaction, message))
        running.add(task)
        task.add_done_callback(running.discard)

    setattr(IntakeTransaction, "_accept", at_once)  # noqa: B010 - in place of a method, which a type checker forbids


def _drop_row() -> None:
    insert: Callable[[sqlite3.Connection, list[NewMessage]], None] = vars(claims)["insert_messages"]

    def some(db: sqlite3.Connection, messages: list[NewMessage]) -> None:
        insert(db, [message for message in messages if random.random() > 0.05])

    vars(claims)["insert_messages"] = some


PATCHES: dict[str, Callable[[], None]] = {"early-250": _early_250, "drop-row": _drop_row}

if __name__ == "__main__":
    PATCHES[sys.argv.pop(1)]()
    sys.exit(main())
