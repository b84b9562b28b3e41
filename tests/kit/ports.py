"""Free ports of 127.0.0.1, different ones for every process that asks."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Below the kernel's ephemeral range, so that no outgoing connection takes one between asking and listening.
FIRST, LAST = (int(text) for text in os.environ.get("RELAYD_TEST_PORTS", "25000-27999").split("-"))
#: How many ports a process keeps from others, the last ones that it asked for: between asking and listening, and while
#: a server is being restarted, nobody listens on them.
_KEPT = 300


def _candidates() -> Iterator[int]:
    count = LAST - FIRST + 1
    start = os.getpid() * 53
    while True:
        yield FIRST + start % count
        start += 1


_remaining = _candidates()
_ours: deque[int] = deque()


@cache
def _register(_: int) -> int:
    """The file whose octet number N is locked by whoever has port N. It stays open as long as the process lives, with
    which the locks end; a forked process has none of them and opens it anew."""
    path = Path(tempfile.gettempdir()) / f"relayd-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def free_port() -> int:
    """A port that nobody listens on now, and that no process has been given shortly before."""
    register = _register(os.getpid())
    for _ in range(LAST - FIRST + 1):
        port = next(_remaining)
        if port in _ours:
            continue
        try:
            fcntl.lockf(register, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                fcntl.lockf(register, fcntl.LOCK_UN, 1, port)
                continue
        _ours.append(port)
        if len(_ours) > _KEPT:
            fcntl.lockf(register, fcntl.LOCK_UN, 1, _ours.popleft())
        return port
    raise OSError(f"no free port between {FIRST} and {LAST}")
