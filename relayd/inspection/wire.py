"""What the worker and its inspecting child say to each other over their socket.

A request is a header with one file descriptor: anonymous memory that holds the decoded parts and, behind them, the
:class:`Request`. An answer is its length and an encoded :class:`~relayd.pipeline.policy.Inspection`.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from relayd.pipeline.findings import Inspection, InspectionLimits

#: Length of the content, length of the request behind it.
REQUEST_HEADER: Final = struct.Struct("!QQ")
ANSWER_HEADER: Final = struct.Struct("!Q")

#: An answer longer than this comes from a child that lost its mind.
LONGEST_ANSWER: Final = 32 * 2**20


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """One decoded MIME part within the memory."""

    path: str
    names: tuple[str, ...]
    type: str
    offset: int
    length: int


class Request(msgspec.Struct, frozen=True, array_like=True):
    """What to look at, and how far to go."""

    parts: tuple[Slice, ...]
    limits: InspectionLimits


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_inspection = msgspec.msgpack.Decoder(Inspection).decode
