"""A supervisor over two processes, for test_supervisor.py: one dies once, the other is ready when that is known.

Arguments: the configuration folder, and a folder for what they do.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from relayd.daemon.control import READY
from relayd.daemon.sockets import Listening
from relayd.daemon.supervisor import Role, Supervisor
from relayd.settings.load import Loaded

DIED, LIVES = Path(sys.argv[2]) / "died", Path(sys.argv[2]) / "lives"


def _until_told_to_stop(channel: socket.socket) -> int:
    channel.send(READY)
    channel.recv(1)
    return 0


def unsteady(_loaded: Loaded, _listening: list[Listening], channel: socket.socket) -> int:
    if not DIED.exists():
        DIED.with_suffix(".new").write_text(str(os.getpid()))
        DIED.with_suffix(".new").rename(DIED)
        return 1
    LIVES.touch()
    return _until_told_to_stop(channel)


def steady(_loaded: Loaded, _listening: list[Listening], channel: socket.socket) -> int:
    while not DIED.exists() or Path(f"/proc/{DIED.read_text()}").exists():
        time.sleep(0.01)
    return _until_told_to_stop(channel)


sys.exit(Supervisor(Path(sys.argv[1]), lambda _: [Role("unsteady", unsteady, 0), Role("steady", steady, 1)]).run())
