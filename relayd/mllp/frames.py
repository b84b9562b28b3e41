"""The framing (HL7 v2.5 appendix C, "MLLP release 1"): VT, the message, FS, CR."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c"
_CR: Final = 0x0D


class Mark(Enum):
    """What lies between the octets of messages."""

    START = "start"
    END = "end"


class Frames:
    """Finds messages in a stream, whatever the blocks' borders, without keeping any of them.

    Octets outside a frame are dropped: some senders put line ends there. A second VT inside a frame begins anew, as
    neither may stand in a message: its sender has given up the one before. CR behind FS may be missing.
    """

    __slots__ = ("_inside",)

    def __init__(self) -> None:
        self._inside = False

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._inside

    def feed(self, block: bytes) -> Iterator[bytes | Mark]:
        """The block's marks and pieces of messages, in order."""
        at = 0
        while at < len(block):
            if not self._inside:
                at = block.find(START, at) + 1
                if not at:
                    return
                self._inside = True
                yield Mark.START
                continue
            end, again = block.find(END, at), block.find(START, at)
            stop = min((found for found in (end, again) if found >= 0), default=len(block))
            if stop > at:
                yield block[at:stop]
            at = stop
            if stop == end:
                self._inside = False
                yield Mark.END
            elif stop == again:
                at += 1
                yield Mark.START


def framed(message: bytes) -> bytes:
    """``message`` as it goes out."""
    return START + message + END + bytes([_CR])
