"""What is said to the rendering child and back: a length (8 octets, big endian) and that many octets of msgpack."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

LENGTH: Final = struct.Struct("!Q")
#: Longer answers come from a child that lost its mind.
LONGEST: Final = 128 * 2**20


class MakePdf(msgspec.Struct, frozen=True, tag="make"):
    """A page as PDF/A-3a. ``original`` is put inside under ``name`` (relationship Source), when it isn't empty."""

    html: str
    original: bytes = b""
    name: str = ""


class ShowPdf(msgspec.Struct, frozen=True, tag="show"):
    """The first pages of a PDF as pictures, ``width`` pixels wide, with their text."""

    pdf: bytes
    pages: int
    width: int


class Clean(msgspec.Struct, frozen=True, tag="clean"):
    """A sender's HTML to be made harmless. ``pictures`` maps Content-IDs to ``data:`` addresses; those that stand in
    the result have ``room`` characters together."""

    html: str
    pictures: dict[str, str]
    room: int


class Sanitised(msgspec.Struct, frozen=True, tag="cleaned"):
    """``blocked`` counts pictures that would have been fetched from elsewhere, ``left_out`` those of the message that
    there was no room for; ``room`` is what is left of it. ``size`` is the HTML's length in characters without its
    pictures. ``visible``: is anything left to see?"""

    html: str
    blocked: int
    left_out: int
    room: int
    size: int
    visible: bool


class Made(msgspec.Struct, frozen=True, tag="made"):
    """A finished PDF."""

    pdf: bytes


class Page(msgspec.Struct, frozen=True):
    """One page: a PNG, and the text on it."""

    png: bytes
    text: str


class Shown(msgspec.Struct, frozen=True, tag="shown"):
    """The pictures, and how many pages there are."""

    pages: tuple[Page, ...]
    total: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It can't be rendered: ``reason`` is the class of what went wrong, never its text."""

    reason: str


encode: Final = msgspec.msgpack.Encoder().encode
decode_request: Final = msgspec.msgpack.Decoder(Clean | MakePdf | ShowPdf).decode
decode_answer: Final = msgspec.msgpack.Decoder(Sanitised | Made | Shown | Refused).decode
