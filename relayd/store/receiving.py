"""A body while it arrives: in memory while it is small, sealed to a file of its own from then on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from relayd.errors import StoreUnavailable
from relayd.mail.body import Body
from relayd.store.disk import Disk
from relayd.store.sealed_body import PART, SealedBody
from relayd.vault.sealing import Sealer
from relayd.vault.vault import MessageKey

#: Up to this size a body stays in memory and joins a segment file.
SMALL: Final = 256 * 1024
BLOCK: Final = 256 * 1024
#: Longer header sections than this are cut off here; the server refuses far shorter ones.
_HEAD_LIMIT: Final = 1024 * 1024


class StoredBody:
    """A complete body that isn't durable yet. ``plain`` holds a small one, ``file`` names the file of a large one."""

    __slots__ = ("_large", "file", "head", "key", "part", "plain", "size")

    def __init__(
        self, key: MessageKey, head: bytes, size: int, plain: bytes, file: Path | None, large: Body | None, part: str
    ) -> None:
        self.key = key
        self.part = part
        self.head = head
        self.size = size
        self.plain = plain
        self.file = file
        self._large = large

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if self._large is not None:
            async for block in self._large.blocks(start, length):
                yield block
            return
        end = self.size if length is None else min(self.size, start + length)
        for position in range(start, end, BLOCK):
            yield self.plain[position : min(position + BLOCK, end)]

    def moved(self, body: Body) -> None:
        """A large body has its lasting name: read it from there."""
        self._large = body
        self.file = None


class BlobReceiving:
    """Takes the blocks of one body. A disk that fails on the way is told by ``finish``, so ``write`` never raises."""

    def __init__(self, key: MessageKey, temporary: Path, disk: Disk, part: str = PART) -> None:
        self._key = key
        self._part = part
        self._temporary = temporary
        self._disk = disk
        self._held = bytearray()
        self._head: bytes | None = None
        self._start = bytearray()
        self._size = 0
        self._descriptor: int | None = None
        self._sealer: Sealer | None = None
        self._failure: OSError | None = None

    def write(self, block: bytes) -> None:
        self._size += len(block)
        if self._failure is not None:
            return
        if self._head is None and self._sealer is not None:
            self._look_for_head(block)
        if self._sealer is None and self._size <= SMALL:
            self._held += block
            return
        try:
            self._spill(block)
        except OSError as error:
            self._failure = error
            self._remove()

    def discard(self) -> None:
        """Forget everything; at any time, and twice if need be."""
        self._held = bytearray()
        self._start = bytearray()
        self._remove()

    def finish(self) -> StoredBody:
        """The complete body, for judging; where it stays and what makes it durable is the business of ``Blobs``."""
        if self._sealer is None and self._failure is None:
            plain = bytes(self._held)
            self._held = bytearray()
            return StoredBody(self._key, head_of(plain), self._size, plain, None, None, self._part)
        try:
            if self._failure is not None:
                raise self._failure
            return self._finish_large()
        except OSError as error:
            self._remove()
            raise StoreUnavailable(f"the disk failed while a message arrived: {error.strerror}") from error

    def _finish_large(self) -> StoredBody:
        if self._sealer is None or self._descriptor is None:
            raise AssertionError("a large body has a sealer and a file")
        self._disk.append(self._descriptor, self._sealer.finish())
        os.close(self._descriptor)
        self._descriptor = None
        head = self._head if self._head is not None else head_of(bytes(self._start))
        length = self._temporary.stat().st_size
        body = SealedBody(self._temporary, 0, length, self._key, len(head), self._size, self._part)
        return StoredBody(self._key, head, self._size, b"", self._temporary, body, self._part)

    def _spill(self, block: bytes) -> None:
        if self._sealer is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o600)
            self._sealer = self._key.sealer(self._part)
            held, self._held = self._held, bytearray()
            self._look_for_head(bytes(held) + block)
            self._disk.append(self._descriptor, self._sealer.update(bytes(held)))
        if self._descriptor is not None:
            self._disk.append(self._descriptor, self._sealer.update(block))

    def _look_for_head(self, block: bytes) -> None:
        self._start += block
        if b"\r\n\r\n" in self._start or self._start.startswith(b"\r\n") or len(self._start) > _HEAD_LIMIT:
            self._head = head_of(bytes(self._start[:_HEAD_LIMIT]))
            self._start = bytearray()

    def _remove(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._sealer is not None:
            self._temporary.unlink(missing_ok=True)


def head_of(content: bytes) -> bytes:
    """The header section with the CRLF of its last field, without the empty line (RFC 5322 §2.1)."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n")
    return content if end < 0 else content[: end + 2]
