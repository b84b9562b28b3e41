"""What the tests of faults share. Their rows become docs/faults.md; see tests/kit/matrix.py and tests/conftest.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import preload
from tests.kit.failing import Machine
from tests.kit.matrix import FOLDER, Matrix
from tests.kit.site import Site
from tests.kit.ward import Ward, ward


@pytest.fixture
def matrix() -> Matrix:
    """Where a test notes what it saw, in its last line."""
    return Matrix(Path(os.environ[FOLDER]), os.environ.get("PYTEST_XDIST_WORKER", "main"))


@pytest.fixture(scope="session")
def _compiler() -> None:
    if reason := preload.unavailable():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose deliveries are tried again every second. Its certificates outlive a clock that is a year ahead."""
    site = Site(tmp_path_factory.mktemp("relayd"), certificate_days=1000)
    site.relayd["queue"] = {"schedule": ["1s"]}
    return site


@pytest.fixture(scope="module")
def patient(site: Site, _compiler: None) -> Iterator[Ward]:
    """relayd on a machine whose disk and clock can be hurt, with a partner behind it."""
    with ward(site, Machine(site.folder)) as patient:
        yield patient
