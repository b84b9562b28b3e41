"""Every file in tests/dialogues against the server alone, on uvloop, as in production, and on asyncio's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.kit.smtp_dialogue import Dialogue, all_dialogues, play, read
from tests.kit.smtp_door import make_limits, running
from tests.kit.smtp_tls import client_context, server_context

LIMITS = "limits."


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("path", all_dialogues(), ids=lambda path: path.stem)
def test_dialogue(path: Path, run: Callable[[object], None]) -> None:
    run(_play(read(path)))


async def _play(dialogue: Dialogue) -> None:
    limits = {key.removeprefix(LIMITS): int(value) for key, value in dialogue.settings.items() if LIMITS in key}
    settings = {key: value for key, value in dialogue.settings.items() if LIMITS not in key}
    async with running(context=server_context(), limits=make_limits(**limits), **settings) as server:
        await play(dialogue, "127.0.0.1", server.port, client_context())
    assert server.door.present == 0
    assert all(taken.committed + taken.abandoned == 1 for taken in server.door.taken)
