"""MLLP's frames (HL7 Minimal Lower Layer Protocol, release 1): octets of a connection to messages and back.

::

    0x0B  message  0x1C 0x0D

Neither 0x0B nor 0x1C can be in a message: HL7 escapes them. So the message is whole at 0x1C, whatever follows; a
sender that leaves out the 0x0D, and waits, gets his answer. Octets outside frames are ignored but counted, and so is
a message that a new 0x0B breaks off: it was never whole, and its sender never had an answer for it.
"""

from __future__ import annotations

from typing import Final

from relayd.errors import RelaydError

START: Final = b"\x0b"
END: Final = b"\x1c"
#: A message of 10 MB base64 in one field, and room.
MOST: Final = 32 * 1024 * 1024


class FrameTooLong(RelaydError):
    """A message is longer than the limit; what follows on its connection can't be told from it."""


class FrameBroken(RelaydError):
    """A message holds an octet that would end its frame."""


class Frames:
    """Feed it what a connection brings, in blocks of any size. ``ignored`` counts the octets of no message."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: bytearray | None = None
        self.ignored = 0

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._open is not None

    def feed(self, block: bytes) -> list[bytes]:
        """The messages that are whole with this block, without their frames.

        Raises FrameTooLong; the connection is then of no more use.
        """
        messages: list[bytes] = []
        position = 0
        while position < len(block):
            if self._open is None:
                start = block.find(START, position)
                outside = block[position : start if start >= 0 else len(block)]
                self.ignored += len(outside.translate(None, b"\r\n"))
                if start < 0:
                    break
                self._open, position = bytearray(), start + 1
            end = block.find(END, position)
            piece = block[position : end if end >= 0 else len(block)]
            again = piece.rfind(START)
            if again >= 0:
                self.ignored += len(self._open) + again
                self._open, piece = bytearray(), piece[again + 1 :]
            if len(self._open) + len(piece) > self._most:
                raise FrameTooLong(f"a message of more than {self._most} octets")
            self._open += piece
            if end < 0:
                break
            messages.append(bytes(self._open))
            self._open, position = None, end + 1
        return messages


def frame(message: bytes) -> bytes:
    """A message in its frame. Raises FrameBroken where it holds 0x0B or 0x1C."""
    if START in message or END in message:
        raise FrameBroken("0x0B or 0x1C in a message")
    return START + message + END + b"\r"
