"""What all tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import trustme
from hypothesis import settings

from tests.kit import matrix

# How long an example takes says more about the machine than about the code.
settings.register_profile("relayd", deadline=None)
settings.load_profile("relayd")


def pytest_make_parametrize_id(config: object, val: object, argname: str) -> str | None:
    """Octets made at import time differ from process to process, and tests that run in several need one name."""
    if isinstance(val, bytes) and (len(val) > 60 or not val.isascii() or b"\0" in val):
        return argname
    return None


_matrix_incomplete = False


def pytest_configure(config: pytest.Config) -> None:
    # Before xdist starts its processes, which inherit it.
    if matrix.FOLDER not in os.environ:
        os.environ[matrix.FOLDER] = tempfile.mkdtemp(prefix="relayd-matrix-")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    global _matrix_incomplete
    _matrix_incomplete |= report.nodeid.startswith("tests/faults/") and not report.passed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write docs/faults.md when all of tests/faults ran and passed. In CI a page that differs is an error."""
    if hasattr(session.config, "workerinput"):  # only the process that started the others
        return
    folder = Path(os.environ.pop(matrix.FOLDER))
    rows = matrix.collected(folder)
    shutil.rmtree(folder)
    everything = {argument.rstrip("/") for argument in session.config.args} <= {"tests", "tests/faults"}
    narrowed = session.config.option.keyword or session.config.option.markexpr or not everything
    if narrowed or _matrix_incomplete or not rows:
        return
    made = matrix.page(rows)
    differs = not matrix.PAGE.exists() or matrix.PAGE.read_text("utf-8") != made
    matrix.PAGE.write_text(made, "utf-8")
    if differs and os.environ.get("CI"):
        print(f"\n{matrix.PAGE} was not what this run saw; run scripts/test tests/faults and commit the page")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """A CA for the certificates of one file's peers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as relayd is given it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path
