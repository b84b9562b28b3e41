"""uvicorn inside a process of ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from relayd.daemon.control import ControlChannel


async def serve_until_stopped(control: ControlChannel, config: uvicorn.Config) -> None:
    """Serve, say so to the supervisor, and end when it says so."""
    server = _Server(control.ready, config)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(control.stopped.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to the supervisor."""

    def __init__(self, ready: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
