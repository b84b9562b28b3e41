"""A copy's header: the original's with fields dropped and lines put in front, applied while the body streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relayd.mail.body import Body
from relayd.mail.headers import split_fields
from relayd.mail.meta import HeaderPatch


def apply(patch: HeaderPatch, head: bytes) -> bytes:
    """The new header section.

    A first line that begins with white space would become a continuation of the last line put in front; it is dropped
    then, as no header field is lost with it.
    """
    if patch.drop:
        dropped = set(patch.drop)
        head = b"".join(raw for number, raw in enumerate(split_fields(head)) if number not in dropped)
    if patch.put and head[:1] in (b" ", b"\t"):
        head = b"".join(split_fields(head)[1:])
    return patch.put + head


class PatchedBody:
    """A Body as one copy's recipients get it."""

    __slots__ = ("_body", "_cut", "head", "size")

    def __init__(self, body: Body, patch: HeaderPatch) -> None:
        self._body = body
        self._cut = len(body.head)
        self.head = apply(patch, body.head)
        self.size = body.size - self._cut + len(self.head)

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        end = self.size if length is None else min(self.size, start + length)
        patched = len(self.head)
        if start < min(patched, end):
            yield self.head[start:end]
        begin = max(start, patched)
        if begin < end:
            async for block in self._body.blocks(begin - patched + self._cut, end - begin):
                yield block
