"""The octets of one message's parts, decrypted and decoded only where they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from relayd.mail.decode import Base64Length, decoder
from relayd.mail.meta import Part
from relayd.mail.words import is_charset
from viewer_web.access import Opened
from viewer_web.reading import Reading
from viewer_web.sanitise import Sanitised, content_ids, picture_address, sanitise

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


async def text_of(opened: Opened, part: Part) -> tuple[str, bool]:
    """A text part's characters, and whether it was cut off."""
    data, complete = await start_of(opened, part, TEXT_LIMIT)
    return data.decode(_charset(part.charset), errors="replace"), not complete


async def html_of(opened: Opened, shown: Reading, part: Part) -> tuple[Sanitised, bool]:
    """An HTML part, harmless and with its pictures in it, and whether it was cut off."""
    html, cut = await text_of(opened, part)
    pictures: dict[str, str] = {}
    room = _PICTURES_LIMIT
    for content_id in sorted(content_ids(html) & shown.inline.keys()):
        data, complete = await start_of(opened, shown.inline[content_id], min(_PICTURE_LIMIT, room))
        address = picture_address(data) if complete else None
        if address is not None:
            pictures[content_id] = address
            room -= len(data)
    return await asyncio.to_thread(sanitise, html, pictures), cut


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
