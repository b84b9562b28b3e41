"""A Viewer with nothing in it."""

from __future__ import annotations

import pytest

from tests.kit.viewer import open_site


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site
