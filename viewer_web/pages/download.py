"""Attachments and the whole message as downloads, decrypted while they are sent.

Content-Length is exact, so that a file whose seal breaks halfway shows up as a broken download, never as a short file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from relayd.mail.patch import PatchedBody
from viewer_web.access import open_message, session_of
from viewer_web.archive import distinct, zipped
from viewer_web.content import decoded, decoded_size
from viewer_web.language import language_of
from viewer_web.problems import unknown
from viewer_web.reading import attachment_name, reading
from viewer_web.render import Pages
from viewer_web.security import DOWNLOAD_POLICY
from viewer_web.services import Services

#: Types that a browser or phone may know a download by. Everything else is octets.
_TYPES: Final = {"application/pdf", "image/gif", "image/jpeg", "image/png", "image/webp", "message/rfc822"}


class Download:
    """GET /g/GRANT/attachment/PART and GET /g/GRANT/message.eml."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    async def attachment(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        path = request.path_params["part"].removeprefix("part-")
        part = next((one for one in reading(opened.meta.parts).attachments if one.path == path), None)
        if part is None:
            raise unknown()
        fallback = self._pages.words(language_of(request, session.grant.language), "attachment")
        size = await decoded_size(opened, part)
        return await self._respond(
            request, decoded(opened, part), size, attachment_name(part, fallback), part.type, part.path or "0"
        )

    async def message(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        copy = PatchedBody(opened.body, opened.patch)
        name = self._pages.words(language_of(request, session.grant.language), "message")
        return await self._respond(request, copy.blocks(), copy.size, f"{name}.eml", "message/rfc822", "message")

    async def archive(self, request: Request) -> Response:
        """All attachments in one file. How long it gets isn't known before, so that it ends with its last block."""
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        parts = reading(opened.meta.parts).attachments
        if not parts:
            raise unknown()
        language = language_of(request, session.grant.language)
        fallback = self._pages.words(language, "attachment")
        names = distinct(attachment_name(part, fallback) for part in parts)
        at = datetime.fromtimestamp(opened.message.received_at, self._services.configuration.viewer.time_zone)
        blocks = zipped(opened, zip(parts, names, strict=True), at)
        headers = {
            "Content-Disposition": disposition(f"{self._pages.words(language, 'message')}.zip"),
            "Content-Security-Policy": DOWNLOAD_POLICY,
        }
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/zip")
        await self._services.store.call("viewer_downloaded", grant_id=session.grant.id, part="attachments")
        return StreamingResponse(blocks, headers=headers, media_type="application/zip")

    async def _respond(
        self, request: Request, blocks: AsyncIterator[bytes], size: int, name: str, kind: str, part: str
    ) -> Response:
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": disposition(name),
            "Content-Security-Policy": DOWNLOAD_POLICY,
        }
        media_type = kind if kind in _TYPES else "application/octet-stream"
        if request.method == "HEAD":
            return Response(headers=headers, media_type=media_type)
        await self._services.store.call("viewer_downloaded", grant_id=request.path_params["grant"], part=part)
        return StreamingResponse(blocks, headers=headers, media_type=media_type)


def disposition(name: str) -> str:
    """RFC 6266: the name in UTF-8, and one in ASCII for what doesn't know that."""
    plain = "".join(sign if sign.isascii() and sign not in '"\\' else "_" for sign in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
