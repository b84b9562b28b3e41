"""The store from another process: the same calls, over its Unix socket.

Requests share one connection and wait for nobody. When the connection ends, everything in flight is StoreAway;
an accept may then have happened or not, and can be sent again as it is. The next request connects anew.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from relayd.errors import StoreAway, StoreError, StoreUnavailable
from relayd.journal.event import Event
from relayd.store import dispatch, wire
from relayd.store import schema as _operations  # noqa: F401  (results are typed by the operations' annotations)
from relayd.store.records import Claimed, Delivery, Message, NewMessage, Settlement


class StoreClient:
    """Implements Store and the limits. Costs nothing until it is used; :meth:`connect` tells early."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: _Channel | None = None
        self._connecting: asyncio.Task[_Channel] | None = None
        self._closed = False

    async def connect(self) -> None:
        """Connect now; StoreUnavailable when nobody listens."""
        await self._connected()

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def accept(self, message: NewMessage) -> None:
        await self._ask("accept", message)

    async def commit(
        self, messages: Sequence[NewMessage], operations: Sequence[tuple[str, dict[str, Any]]] = ()
    ) -> None:
        await self._ask("commit", messages, operations)

    async def claim(self, owner: str, now: float, limit: int, busy_until: float) -> list[Claimed]:
        claimed: list[Claimed] = await self._ask("claim", owner, now, limit, busy_until)
        return claimed

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        counted: list[bool] = await self._ask("settle", settlements)
        return counted

    async def next_due(self, now: float) -> float | None:
        due: float | None = await self._ask("next_due", now)
        return due

    async def heartbeat(self, owner: str, now: float, lease: float) -> bool:
        alive: bool = await self._ask("heartbeat", owner, now, lease)
        return alive

    async def free(self, owner: str) -> int:
        freed: int = await self._ask("free", owner)
        return freed

    async def message(self, message_id: str) -> Message:
        message: Message = await self._ask("message", message_id)
        return message

    async def deliveries(self, message_id: str) -> list[Delivery]:
        deliveries: list[Delivery] = await self._ask("deliveries", message_id)
        return deliveries

    async def journal(self, message_id: str) -> list[Event]:
        events: list[Event] = await self._ask("journal", message_id)
        return events

    async def call(self, operation: str, **arguments: Any) -> Any:
        return dispatch.result_of(dispatch.find(operation), await self._ask("call", operation, arguments))

    async def count_unique(self, key: str, members: list[str], window: timedelta) -> int:
        """See Limits.count_unique."""
        count: int = await self._ask("count_unique", key, members, window.total_seconds())
        return count

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        """See Limits.take."""
        got: bool = await self._ask("take", key, amount, limit, window.total_seconds())
        return got

    async def _ask(self, method: str, *arguments: Any) -> Any:
        channel = self._channel or await self._connected()
        return await channel.ask(method, arguments)

    async def _connected(self) -> _Channel:
        """The channel, made by whoever needs it first; all others wait for the same try."""
        if self._closed:
            raise StoreUnavailable("this client is closed")
        if self._channel is not None:
            return self._channel
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._connecting)

    async def _open(self) -> _Channel:
        try:
            _, channel = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Channel(self._lost), str(self._path)
            )
        except OSError as error:
            raise StoreAway(f"the store process doesn't answer at {self._path}: {error.strerror}") from error
        finally:
            self._connecting = None
        self._channel = channel
        return channel

    def _lost(self) -> None:
        self._channel = None


class _Channel(asyncio.Protocol):
    """One connection."""

    def __init__(self, lost: Any) -> None:
        self._lost = lost
        self._frames = wire.Frames()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._outbox = wire.Outbox(self._loop, self._send)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._lost()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(StoreAway("the store process went away"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def ask(self, method: str, arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Send a request; the future has its result or error."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(StoreAway("the store process went away"))
            return future
        number = next(self._numbers)
        self._outbox.put(wire.Request(number, method, msgspec.Raw(wire.encoder.encode(arguments))))
        self._waiting[number] = (method, future)
        return future

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._answered(_answer.decode(frame))
        except (ValueError, msgspec.MsgspecError):
            self.close()

    def _answered(self, answer: wire.Answer) -> None:
        method, future = self._waiting.pop(answer.number)
        if future.done():
            return
        if answer.error:
            text = msgspec.msgpack.decode(answer.result, type=str)
            future.set_exception(wire.ERRORS.get(answer.error, StoreError)(text))
        else:
            future.set_result(wire.RESULTS[method].decode(answer.result))

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


_answer: Final = msgspec.msgpack.Decoder(wire.Answer)
