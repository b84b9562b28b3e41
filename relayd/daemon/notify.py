"""Telling systemd how we are (sd_notify(3)). Does nothing when no NOTIFY_SOCKET is set."""

from __future__ import annotations

import os
import socket
import time


def notify(*lines: str) -> None:
    """Send ``lines`` ("READY=1", "STATUS=…") in one datagram."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # A leading @ means Linux's abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address)
        except OSError:
            return  # Nobody listens: being supervised is a help, not a need.


def reloading() -> None:
    """Type=notify-reload wants the monotonic time with the announcement."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval() -> float | None:
    """Half of WATCHDOG_USEC in seconds, None when systemd doesn't watch us."""
    text = os.environ.get("WATCHDOG_USEC")
    if not text or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / 2_000_000
