"""What is said to the rendering child and back: a length (8 octets, big endian) and that many octets of msgpack."""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Final

import msgspec

from relayd.mail.remade import NewPart

LENGTH: Final = struct.Struct("!Q")
#: Longer answers come from a child that lost its mind.
LONGEST: Final = 128 * 2**20


class Variant(StrEnum):
    """What a PDF is made for: the archive, with files inside (ISO 19005-3), or screen readers (ISO 14289-1)."""

    PDF_A = "pdf/a-3a"
    PDF_UA = "pdf/ua-1"


class MakePdf(msgspec.Struct, frozen=True, tag="make"):
    """A page as PDF. ``original`` is put inside under ``name`` (relationship Source), when it isn't empty."""

    html: str
    original: bytes = b""
    name: str = ""
    variant: Variant = Variant.PDF_A


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


class Leaf(msgspec.Struct, frozen=True):
    """One MIME leaf, decoded. ``charset`` is what its header says, or ""."""

    data: bytes
    name: str = ""
    charset: str = ""


class Remake(msgspec.Struct, frozen=True, tag="remake"):
    """The content of a copy to be made anew by ``transform`` (see ``transforms``) from these leaves."""

    transform: str
    options: dict[str, str]
    leaves: tuple[Leaf, ...]


class Remade(msgspec.Struct, frozen=True, tag="remade"):
    """What becomes of it: what is shown, and files. ``says_all``: the leaves needn't go along. ``name`` is what the old
    content is called where it has no name. ``facts`` are for the journal and hold no content. With neither parts nor
    files it stays as it came."""

    shown: tuple[NewPart, ...] = ()
    files: tuple[NewPart, ...] = ()
    says_all: bool = False
    name: str = ""
    facts: dict[str, str | int | list[str]] = {}


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
Request = Clean | MakePdf | ShowPdf | Remake
Answer = Sanitised | Made | Shown | Remade | Refused
decode_request: Final = msgspec.msgpack.Decoder(Request).decode
decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
