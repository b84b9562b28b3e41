"""Listening sockets: bound here by the supervisor, or handed over by systemd; every worker inherits them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from relayd.errors import ConfigurationError, Problem
from relayd.settings.models import Configuration, ListenerSettings

_FIRST_INHERITED_FD = 3  # sd_listen_fds(3)
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listening:
    """A bound socket and the settings it serves."""

    settings: ListenerSettings
    socket: socket.socket


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``"[::1]:25"`` or ``"127.0.0.1:25"``. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError("expected address:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind_all(configuration: Configuration) -> list[Listening]:
    """Every listener of the configuration. Sockets from systemd are matched by their address.

    Raises ConfigurationError naming each address that can't be bound.
    """
    inherited = {_name_of(sock): sock for sock in _from_systemd()}
    bound, problems = [], []
    for number, listener in enumerate(configuration.listeners):
        try:
            address = split_address(listener.address)
            sock = inherited.pop(address, None) or _bind(*address)
            bound.append(Listening(listener, sock))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.append(
                Problem(
                    "relayd.yaml", None, f"listeners.{number}.address", f"can't listen on {listener.address}: {reason}"
                )
            )
    if problems:
        for listening in bound:
            listening.socket.close()
        raise ConfigurationError(problems)
    return bound


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "[::]" and "0.0.0.0" are listed apart, so that each can be left out.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _from_systemd() -> list[socket.socket]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    sockets = []
    for fd in range(_FIRST_INHERITED_FD, _FIRST_INHERITED_FD + count):
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        sock.set_inheritable(False)
        sockets.append(sock)
    return sockets


def _name_of(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return host, port
