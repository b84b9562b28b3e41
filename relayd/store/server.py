"""The store process's socket: every worker, the web process and the command line speak to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import structlog

from relayd.errors import StoreError
from relayd.store import dispatch, wire
from relayd.store.limits import Limits
from relayd.store.sqlite import SqliteStore

log = structlog.get_logger("relayd.store")

SOCKET: Final = "store.sock"


class StoreServer:
    """Serves one store on one socket until ``close``."""

    def __init__(self, store: SqliteStore, limits: Limits, server: asyncio.Server, path: Path) -> None:
        self.store = store
        self.limits = limits
        self._server = server
        self._path = path
        self._connections: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def joined(self, connection: _Connection) -> None:
        self._connections.add(connection)
        self._empty.clear()

    def left(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def deserted(self, patience: float) -> None:
        """Until no client is left, or ``patience`` seconds have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._empty.wait()

    async def close(self) -> None:
        """Stop listening and drop the connections; what is under way in the store goes on."""
        self._server.close()
        for connection in list(self._connections):
            connection.drop()
        await self._server.wait_closed()
        _remove(self._path)


async def serve(store: SqliteStore, path: Path) -> StoreServer:
    """Listen on ``path``, which only our own user can open. The store's lock proves that no other process does."""
    _remove(path)
    loop = asyncio.get_running_loop()
    connections: list[StoreServer] = []
    before = os.umask(0o177)
    try:
        server = await loop.create_unix_server(lambda: _Connection(connections[0]), str(path), backlog=128)
    finally:
        os.umask(before)
    connections.append(StoreServer(store, store.limits, server, path))
    return connections[0]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._store = server.store
        self._frames = wire.Frames()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._outbox = wire.Outbox(self._loop, self._send)
        self._server.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.left(self)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._begin(_request.decode(frame))
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("store_client_confused", error=str(error))
            self.drop()

    def _begin(self, request: wire.Request) -> None:
        """Start the work. Accepts, the bulk of it, go without a task of their own."""
        try:
            arguments = wire.ARGUMENTS[request.method].decode(request.arguments)
            if request.method == "accept":
                future = self._store.begin_accept(arguments[0])
                future.add_done_callback(lambda done: self._accepted(request.number, done))
                return
        except KeyError:
            self._answer_error(request.number, StoreError(f"the store has no method {request.method}"))
            return
        except (StoreError, msgspec.MsgspecError) as error:
            self._answer_error(request.number, error)
            return
        task = self._loop.create_task(self._perform(request, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accepted(self, number: int, done: asyncio.Future[None]) -> None:
        error = done.exception()
        if error is None:
            self._outbox.put(wire.Answer(number, "", _NOTHING))
        else:
            self._answer_error(number, error)

    async def _perform(self, request: wire.Request, arguments: tuple[Any, ...]) -> None:
        try:
            result = await self._work(request.method, arguments)
            self._outbox.put(wire.Answer(request.number, "", msgspec.Raw(wire.encoder.encode(result))))
        except Exception as error:
            self._answer_error(request.number, error)

    def _work(self, method: str, arguments: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
        match method:
            case "call":
                name, given = arguments
                operation = dispatch.find(name)
                return self._store.call(name, **dispatch.bind(operation, given))
            case "count_unique" | "take":
                *rest, seconds = arguments
                limit: Coroutine[Any, Any, Any] = getattr(self._server.limits, method)(
                    *rest, timedelta(seconds=seconds)
                )
                return limit
            case _:
                work: Coroutine[Any, Any, Any] = getattr(self._store, method)(*arguments)
                return work

    def _answer_error(self, number: int, error: BaseException) -> None:
        if isinstance(error, StoreError):
            name, text = type(error).__name__, str(error)
        else:
            log.error("store_request_failed", exc_info=error)
            name, text = "StoreError", f"the store process failed at this request ({type(error).__name__})"
        self._outbox.put(wire.Answer(number, name, msgspec.Raw(wire.encoder.encode(text))))

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


_request: Final = msgspec.msgpack.Decoder(wire.Request)
_NOTHING: Final = msgspec.Raw(msgspec.msgpack.encode(None))
