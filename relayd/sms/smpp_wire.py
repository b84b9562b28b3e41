"""SMPP 3.4 on the wire: what we read of it. Pure.

What we send is made by smpplib; what comes is read here, since smpplib gives up on parameters that it doesn't expect in
a message, which gateways are free to add (§3.2.4.2 says to skip them).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from relayd.errors import SyntaxInvalid

HEADER: Final = struct.Struct(">LLLL")
#: Longer ones aren't read: a deliver_sm with its parameters is far below.
LARGEST: Final = 64 * 1024
#: Commands of SMPP 3.4 §5.1.2.1. An answer has the highest bit set beside what it answers.
ANSWER: Final = 0x80000000
DELIVER_SM: Final = 0x05
UNBIND: Final = 0x06
ENQUIRE_LINK: Final = 0x15
#: Optional parameters, §5.3.2.
RECEIPTED_MESSAGE_ID: Final = 0x001E
MESSAGE_STATE: Final = 0x0427
_MESSAGE_PAYLOAD: Final = 0x0424


@dataclass(frozen=True, slots=True)
class Pdu:
    """One message of the protocol."""

    command: int
    status: int
    sequence: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a deliver_sm brings (§4.6.1), as far as receipts go. ``parameters`` are the optional ones by their tag."""

    esm_class: int
    text: bytes = field(repr=False)
    parameters: dict[int, bytes] = field(repr=False)


def header_of(octets: bytes) -> tuple[int, Pdu]:
    """How many octets follow these 16, and the message that they begin. Raises SyntaxInvalid."""
    length, command, status, sequence = HEADER.unpack(octets)
    if not HEADER.size <= length <= LARGEST:
        raise SyntaxInvalid("SMPP 3.4 §3.2: no length that a message has")
    return length - HEADER.size, Pdu(command, status, sequence, b"")


def message_id_of(body: bytes) -> str:
    """The gateway's name for the message, in a submit_sm_resp (§4.4.2)."""
    return body.partition(b"\0")[0].decode("latin-1")


def read_deliver_sm(body: bytes) -> Delivered:
    """Raises SyntaxInvalid."""
    rest = _after_text(body)  # service_type
    rest = _after_text(rest[2:])  # source_addr, behind its two octets
    rest = _after_text(rest[2:])  # destination_addr
    esm_class, rest = _octet(rest)
    rest = _after_text(rest[2:])  # schedule_delivery_time, behind protocol_id and priority_flag
    rest = _after_text(rest)  # validity_period
    length, rest = _octet(rest[4:])
    if length > len(rest):
        raise SyntaxInvalid("SMPP 3.4 §4.6.1: sm_length goes beyond the message")
    parameters = _parameters(rest[length:])
    return Delivered(esm_class, rest[:length] or parameters.get(_MESSAGE_PAYLOAD, b""), parameters)


def _after_text(octets: bytes) -> bytes:
    _, end, rest = octets.partition(b"\0")
    if not end:
        raise SyntaxInvalid("SMPP 3.4 §3.1: a text without its end")
    return rest


def _octet(octets: bytes) -> tuple[int, bytes]:
    if not octets:
        raise SyntaxInvalid("SMPP 3.4 §4.6.1: it ends too early")
    return octets[0], octets[1:]


def _parameters(octets: bytes) -> dict[int, bytes]:
    found = {}
    while octets:
        if len(octets) < 4:
            raise SyntaxInvalid("SMPP 3.4 §3.2.4.1: half a parameter")
        tag, length = struct.unpack(">HH", octets[:4])
        if length > len(octets) - 4:
            raise SyntaxInvalid("SMPP 3.4 §3.2.4.1: a parameter goes beyond the message")
        found[tag] = octets[4 : 4 + length]
        octets = octets[4 + length :]
    return found
