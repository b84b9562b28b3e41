"""What the tests of faults share. Their rows become docs/faults.md; see tests/kit/matrix.py and tests/conftest.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.matrix import FOLDER, Matrix


@pytest.fixture
def matrix() -> Matrix:
    """Where a test notes what it saw, in its last line."""
    return Matrix(Path(os.environ[FOLDER]), os.environ.get("PYTEST_XDIST_WORKER", "main"))
