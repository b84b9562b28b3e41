"""What the supervisor says of its processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.daemon import Notifications
from tests.kit.process import Child, python
from tests.kit.site import Site

pytestmark = pytest.mark.behaviour


def test_ready_is_said_when_all_are_and_not_when_only_those_that_live(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write()
    notifications = Notifications(tmp_path / "notify")
    command = [*python("tests.daemon.unsteady"), site.config, tmp_path]
    child = Child(command, tmp_path / "log", environment={"NOTIFY_SOCKET": str(notifications.path)})
    try:
        notifications.wait("READY", child)
        assert (tmp_path / "lives").exists()
        assert child.stop() == 0
    finally:
        child.kill()
        notifications.close()
