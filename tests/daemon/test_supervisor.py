"""What the supervisor says of its processes."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kit.daemon import Notifications
from tests.kit.process import Child
from tests.kit.site import Site

#: Two processes: one is ready at once, the other dies the first time it is started.
PROGRAM = """
import signal, sys
from pathlib import Path
from relayd.daemon.supervisor import Role, Supervisor

marker = Path(sys.argv[2])

def steady(loaded, listening, channel):
    channel.sendall(b"R")
    channel.recv(1)
    return 0

def stumbling(loaded, listening, channel):
    if not marker.exists():
        marker.touch()
        return 1
    marker.write_text("again")
    return steady(loaded, listening, channel)

sys.exit(Supervisor(Path(sys.argv[1]), lambda _: [Role("stumbling", stumbling, 0), Role("steady", steady, 1)]).run())
"""


def test_it_is_ready_when_every_process_is(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    notifications = Notifications(tmp_path / "notify")
    child = Child(
        [sys.executable, "-c", PROGRAM, Site(tmp_path).write(), marker],
        tmp_path / "log",
        environment={"NOTIFY_SOCKET": str(notifications.path)},
    )
    try:
        notifications.wait("READY", child)
        assert marker.read_text() == "again"
    finally:
        child.kill()
        notifications.close()
