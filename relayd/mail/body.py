"""A message's content as a handle: read in blocks, never held twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Body(Protocol):
    """RFC 5322 content with CRLF line ends, dots unstuffed.

    ``size`` counts octets. ``head`` is the raw header section, up to and including the CRLF of its last field,
    without the empty line; it is always in memory (the header cap bounds it).
    """

    @property
    def size(self) -> int: ...

    @property
    def head(self) -> bytes: ...

    def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The octets from ``start`` on, in blocks of at most 256 KiB. ``length`` None means to the end."""
        ...
