"""A sealed body on disk, opened by segments while it is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from relayd.errors import SealBroken, StoreUnavailable
from relayd.vault.sealing import HEADER, Opener, plain_size, segment_at
from relayd.vault.vault import MessageKey

PART: Final = "body"
#: One block: little enough that others get their turn soon.
_SEGMENTS_PER_BLOCK: Final = 1
#: Up to this sealed length a read happens in place, even when it has to wait for the disk.
_IN_PLACE: Final = 64 * 1024


class SealedBody:
    """``length`` sealed octets at ``offset`` of ``file``. Reads are independent: any number may go on at once."""

    def __init__(
        self, file: Path, offset: int, length: int, key: MessageKey, head_length: int, size: int, part: str = PART
    ) -> None:
        if plain_size(length) != size:
            raise SealBroken("a body's length doesn't match its row")
        self.size = size
        self._file = file
        self._offset = offset
        self._length = length
        self._key = key
        self._part = part
        self._head_length = head_length
        self._head: bytes | None = None

    @property
    def head(self) -> bytes:
        if self._head is None:
            self._head = self.read(0, self._head_length)
        return self._head

    def read(self, start: int, length: int) -> bytes:
        """The plain octets from ``start`` on, at once. Blocks; for what is small or already off the loop."""
        with _Reader(self) as reader:
            return b"".join(reader.range(start, min(self.size, start + length)))

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        end = self.size if length is None else min(self.size, start + length)
        if self._length <= _IN_PLACE:
            if start < end:
                yield self.read(start, end - start)
            return
        with _Reader(self) as reader:
            while start < end:
                # What came in a moment ago is still in memory; only for what isn't does a thread wait for the disk.
                piece = reader.piece(start, end, wait=False) or await asyncio.to_thread(reader.piece, start, end)
                start += len(piece)
                yield piece
                await asyncio.sleep(0)  # a fast reader of what is in memory would keep the loop for itself


class _Reader:
    """One open file and the opener of its octets."""

    def __init__(self, body: SealedBody) -> None:
        self._body = body

    def __enter__(self) -> _Reader:
        body = self._body
        try:
            self._descriptor = os.open(body._file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnavailable(f"a body can't be read: {error.strerror}") from error
        try:
            self._opener: Opener = body._key.opener(body._part, self._octets(0, HEADER), body._length)
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def range(self, start: int, end: int) -> Iterator[bytes]:
        """The plain octets from ``start`` to ``end`` in blocks of whole segments, cut to size at both ends."""
        while start < end:
            piece = self.piece(start, end)
            start += len(piece)
            yield piece

    def piece(self, start: int, end: int, *, wait: bool = True) -> bytes:
        """The first of these blocks. Without ``wait``: b"" when the disk would have to be waited for."""
        first, skip = segment_at(start)
        last = min(segment_at(end - 1)[0], first + _SEGMENTS_PER_BLOCK - 1)
        extent = self._opener.extent(first, last)
        sealed = self._octets(*extent) if wait else self._octets_at_hand(*extent)
        return self._opener.open(first, sealed)[skip : skip + end - start] if sealed else b""

    def _octets(self, start: int, end: int) -> bytes:
        try:
            data = os.pread(self._descriptor, end - start, self._body._offset + start)
        except OSError as error:
            raise StoreUnavailable(f"a body can't be read: {error.strerror}") from error
        if len(data) != end - start:
            raise SealBroken("a body's file is shorter than its row says")
        return data

    def _octets_at_hand(self, start: int, end: int) -> bytearray | None:
        """The same as far as the page cache has it all; None otherwise, and where the file system can't tell."""
        data = bytearray(end - start)
        try:
            got = os.preadv(self._descriptor, [data], self._body._offset + start, os.RWF_NOWAIT)
        except OSError:
            return None
        return data if got == len(data) else None
