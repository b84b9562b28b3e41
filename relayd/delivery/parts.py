"""Parts of a copy, for routes that hand over less than the whole mail."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relayd.mail.decode import decoder
from relayd.mail.meta import Part
from relayd.queue.outcome import Content


class Decoded:
    """One part of a copy, without its transfer encoding."""

    def __init__(self, content: Content, part: Part) -> None:
        self._content = content
        self._part = part

    @property
    def size(self) -> int:
        return self._part.length

    async def blocks(self) -> AsyncIterator[bytes]:
        decode, part, at = decoder(self._part), self._part, 0
        async for block in self._content.blocks():
            wanted = block[max(0, part.offset - at) : max(0, part.offset + part.length - at)]
            at += len(block)
            if plain := decode.feed(wanted):
                yield plain
            if at >= part.offset + part.length:
                break
        if rest := decode.finish():
            yield rest
