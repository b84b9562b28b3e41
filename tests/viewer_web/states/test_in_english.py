"""Every state of the Viewer in English."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.kit.chromium import CHROMIUM, chromium
from tests.viewer_web.states.looking import look
from tests.viewer_web.states.scenes import SCENES

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium isn't installed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("name", SCENES)
async def test_state(name: str, scripts: bool, tmp_path: Path, browser: Browser) -> None:
    await look(name, "en", tmp_path, browser, scripts=scripts)
