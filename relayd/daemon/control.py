"""A child's end of the control channel: what the supervisor says, as it says it."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from relayd.settings.load import Loaded

READY: Final = b"R"


class ControlChannel:
    """Reads the supervisor's messages. :attr:`stopped` is set by "stop", and when the supervisor is gone."""

    def __init__(self, channel: socket.socket, on_reload: Callable[[Loaded], Awaitable[None]]) -> None:
        self._socket = channel
        self._on_reload = on_reload
        self._task: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()
        #: True when the end came from the supervisor's death rather than from its word.
        self.orphaned = False

    async def start(self) -> None:
        self._socket.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=self._socket)
        self._writer = writer
        self._task = asyncio.create_task(self._listen(reader))

    def ready(self) -> None:
        """Tell the supervisor that this process serves."""
        self._writer.write(READY)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                # From our own parent over a socket pair that no one else holds.
                kind, loaded = pickle.loads(await reader.readexactly(length))  # noqa: S301
                if kind == "stop":
                    self.stopped.set()
                elif kind == "reload":
                    await self._on_reload(loaded)
        except (asyncio.IncompleteReadError, OSError):
            self.orphaned = True
            self.stopped.set()
