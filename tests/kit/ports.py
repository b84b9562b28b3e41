"""Free ports of 127.0.0.1, different ones for every process that asks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

# Below the kernel's ephemeral range, so that no outgoing connection takes one between asking and listening.
FIRST, LAST = (int(text) for text in os.environ.get("RELAYD_TEST_PORTS", "25000-27999").split("-"))


def _candidates() -> Iterator[int]:
    count = LAST - FIRST + 1
    start = os.getpid() * 53
    while True:
        yield FIRST + start % count
        start += 1


_remaining = _candidates()


def free_port() -> int:
    """A port nobody listens on now, and that this process didn't hand out shortly before."""
    for _ in range(LAST - FIRST + 1):
        port = next(_remaining)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port between {FIRST} and {LAST}")
