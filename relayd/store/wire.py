"""The protocol on the store's Unix socket.

A frame is a length (4 octets, big endian) and that many octets of msgpack. Requests carry a number, a method and its
arguments; answers carry the number, and either a result or the name and text of an error. Answers come in any order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from relayd.errors import (
    BodyNotStored,
    Conflict,
    LimitReached,
    NotFound,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from relayd.journal.event import Event
from relayd.store.records import Claimed, Delivery, Message, NewMessage, Settlement

#: A message for a thousand recipients with its reports is far below this.
FRAME_LIMIT: Final = 64 * 1024 * 1024

#: Each method's arguments and result.
METHODS: Final[dict[str, tuple[Any, Any]]] = {
    "accept": (tuple[NewMessage], None),
    "commit": (tuple[list[NewMessage], list[tuple[str, dict[str, Any]]]], None),
    "claim": (tuple[str, float, int, float], list[Claimed]),
    "settle": (tuple[list[Settlement]], list[bool]),
    "next_due": (tuple[float], float | None),
    "heartbeat": (tuple[str, float, float], bool),
    "free": (tuple[str], int),
    "message": (tuple[str], Message),
    "deliveries": (tuple[str], list[Delivery]),
    "journal": (tuple[str], list[Event]),
    "call": (tuple[str, dict[str, Any]], Any),
    "count_unique": (tuple[str, list[str], float], int),
    "take": (tuple[str, int, int, float], bool),
}
ARGUMENTS: Final = {name: msgspec.msgpack.Decoder(types[0]) for name, types in METHODS.items()}
RESULTS: Final = {name: msgspec.msgpack.Decoder(types[1]) for name, types in METHODS.items()}
ERRORS: Final[dict[str, type[StoreError]]] = {
    error.__name__: error
    for error in (
        BodyNotStored,
        StoreUnavailable,
        StoreFull,
        StoreDamaged,
        NotFound,
        LimitReached,
        Conflict,
        StoreError,
    )
}


class Request(msgspec.Struct, frozen=True, array_like=True):
    """``arguments`` is the encoded tuple of METHODS."""

    number: int
    method: str
    arguments: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """``error`` is "" with a result; otherwise ``result`` is the error's text."""

    number: int
    error: str
    result: msgspec.Raw


encoder: Final = msgspec.msgpack.Encoder()


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are complete now. ValueError for one that is too long."""
        self._buffer += data
        start, end = 0, len(self._buffer)
        while end - start >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            if length > FRAME_LIMIT:
                raise ValueError("a frame on the store's socket is too long")
            if end - start - 4 < length:
                break
            yield bytes(self._buffer[start + 4 : start + 4 + length])
            start += 4 + length
        del self._buffer[:start]


class Outbox:
    """Writes of one turn of the loop go out together, in one system call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._write = write
        self._frames: list[bytes] = []

    def put(self, message: Request | Answer) -> None:
        payload = encoder.encode(message)
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames += (len(payload).to_bytes(4, "big"), payload)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._write(b"".join(frames))
