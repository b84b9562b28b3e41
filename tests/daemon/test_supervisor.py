"""What the supervisor says of its processes."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """With a supervisor that has said that it is ready."""
    site = Site(tmp_path)
    notifications = Notifications(tmp_path / "notify")
    child = Child(
        [sys.executable, "-c", PROGRAM, site.write(), tmp_path / "marker"],
        tmp_path / "log",
        environment={"NOTIFY_SOCKET": str(notifications.path)},
    )
    try:
        notifications.wait("READY", child)
        yield site
    finally:
        child.kill()
        notifications.close()


def test_it_is_ready_when_every_process_is(site: Site) -> None:
    assert (site.folder / "marker").read_text() == "again"


def ask(site: Site, octets: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(site.state / "control.sock"))
        control.sendall(octets)
        return control.makefile("rb").read()


def test_nonsense_on_the_control_socket_ends_nobody(site: Site) -> None:
    nonsense = [b"[1]", b"null", b'"x"', b"7", b"{", b"\xff", b"[" * 4000, b'{"command": ["reload"]}', b"{}", b"\n"]
    for octets in nonsense:
        answer = ask(site, octets)
        assert not answer or not json.loads(answer)["ok"]
    assert len(json.loads(ask(site, b'{"command": "status"}'))["processes"]) == 2
