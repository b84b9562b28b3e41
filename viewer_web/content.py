"""The octets of one message's parts, decrypted and decoded only where they are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from relayd.mail.decode import Base64Length, decoder
from relayd.mail.meta import Part
from relayd.mail.words import is_charset
from relayd.rendering.renderer import Renderer
from relayd.rendering.sanitise import content_ids, picture_address
from relayd.rendering.wire import Sanitised
from viewer_web.access import Opened
from viewer_web.reading import Reading

#: Longer text is shown up to here, with the rest in the download.
TEXT_LIMIT: Final = 1024 * 1024
_PICTURE_LIMIT: Final = 4 * 1024 * 1024
_PICTURES_LIMIT: Final = 8 * 1024 * 1024


async def decoded(opened: Opened, part: Part) -> AsyncIterator[bytes]:
    """A part's content without its transfer encoding."""
    decode = decoder(part)
    async for block in opened.body.blocks(part.offset, part.length):
        if plain := decode.feed(block):
            yield plain
    if rest := decode.finish():
        yield rest


async def decoded_size(opened: Opened, part: Part) -> int:
    """Exactly how many octets ``decoded`` gives. The content is read for it, once more than for sending it."""
    if part.encoding in {"7bit", "8bit", "binary"}:
        return part.length
    if part.encoding == "base64":
        length = Base64Length()
        async for block in opened.body.blocks(part.offset, part.length):
            length.feed(block)
        return length.finish()
    return sum([len(block) async for block in decoded(opened, part)])


@dataclass(slots=True)
class Room:
    """What may still be shown of one message: octets of text, octets of pictures to be read, and characters of their
    addresses, each as often as it is referred to. ``pictures`` are those that were read, by Content-ID."""

    text: int = TEXT_LIMIT
    to_read: int = _PICTURES_LIMIT
    addresses: int = _PICTURES_LIMIT * 4 // 3
    pictures: dict[str, str] = field(default_factory=dict)


async def text_of(opened: Opened, part: Part, limit: int = TEXT_LIMIT) -> tuple[str, bool]:
    """A text part's characters, and whether it was cut off."""
    data, complete = await start_of(opened, part, limit)
    return data.decode(_charset(part.charset), errors="replace"), not complete


async def html_of(renderer: Renderer, opened: Opened, shown: Reading, part: Part, room: Room) -> tuple[Sanitised, bool]:
    """An HTML part, harmless and with its pictures in it, and whether anything was left out. Raises NotRendered."""
    html, cut = await text_of(opened, part, room.text)
    wanted = content_ids(html) & shown.inline.keys()
    for content_id in sorted(wanted - room.pictures.keys()):
        data, complete = await start_of(opened, shown.inline[content_id], min(_PICTURE_LIMIT, room.to_read))
        room.to_read -= len(data)
        address = picture_address(data) if complete else None
        cut = cut or not complete
        room.pictures[content_id] = address or ""
    pictures = {one: room.pictures[one] for one in wanted if room.pictures[one]}
    clean = await renderer.clean(html, pictures, room.addresses)
    room.addresses = clean.room
    return clean, cut or bool(clean.left_out)


async def start_of(opened: Opened, part: Part, limit: int) -> tuple[bytes, bool]:
    """A part's first octets, and whether these are all."""
    data = bytearray()
    async for block in decoded(opened, part):
        data += block
        if len(data) > limit:
            return bytes(data[:limit]), False
    return bytes(data), True


def _charset(name: str) -> str:
    """A codec for this charset (RFC 2045 §5.2: US-ASCII when there is none; UTF-8 reads that too)."""
    return name if is_charset(name) else "utf-8"
