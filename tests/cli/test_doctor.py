"""`relayd doctor`: what its exit status says."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.cli import doctor
from relayd.cli.doctor import Finding, Level
from relayd.cli.main import main
from tests.kit.configuration import write_configuration


@pytest.mark.parametrize(("level", "status"), [(Level.OK, 0), (Level.WARN, 1), (Level.BAD, 1)])
def test_what_soon_goes_wrong_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level, status: int
) -> None:
    write_configuration(tmp_path)
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("certificate", level, "expires in 4 days")])
    assert main(["doctor", "--no-network", "--config", str(tmp_path)]) == status
