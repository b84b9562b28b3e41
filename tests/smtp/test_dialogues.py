"""Every file in tests/dialogues, against the server alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.smtp_dialogue import all_dialogues, play, read
from tests.kit.smtp_door import make_limits, running
from tests.kit.smtp_tls import client_context, server_context


@pytest.mark.parametrize("path", all_dialogues(), ids=lambda path: path.stem)
async def test_dialogue(path: Path) -> None:
    dialogue = read(path)
    limits = {
        key.partition(".")[2]: int(value) for key, value in dialogue.settings.items() if key.startswith("limits.")
    }
    settings = {key: value for key, value in dialogue.settings.items() if not key.startswith("limits.")}
    async with running(context=server_context(), limits=make_limits(**limits), **settings) as server:
        await play(dialogue, "127.0.0.1", server.port, client_context())
    assert server.door.present == 0
    assert all(taken.committed + taken.abandoned == 1 for taken in server.door.taken)
