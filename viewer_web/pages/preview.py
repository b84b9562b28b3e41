"""A look at an attachment without saving it: pictures, text, and the first pages of a PDF.

What is shown is what the octets are, not what they are called, in a document that may do nothing.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from relayd.mail.meta import Part
from relayd.rendering.renderer import NotRendered
from relayd.rendering.sanitise import picture_address
from viewer_web.access import Opened, may_render, open_message, session_of
from viewer_web.content import start_of, text_of
from viewer_web.language import language_of
from viewer_web.problems import unknown
from viewer_web.reading import attachment_name, reading
from viewer_web.render import Pages
from viewer_web.security import BODY_POLICY
from viewer_web.services import Services

#: Larger ones are for downloading.
_PICTURE: Final = 12 * 2**20
_PDF: Final = 24 * 2**20
_PAGES: Final = 15
_WIDTH: Final = 1000
_NOTHING: Final[dict[str, Any]] = {
    "text": "",
    "cut": False,
    "picture": "",
    "sheets": (),
    "total": 0,
    "failed": False,
}
_KIND: Final = re.compile(r"image/(?:png|jpeg|gif|webp)")


def may_preview(part: Part) -> bool:
    """Whether a look is offered: by what the part says of itself and how large it is; the octets decide later."""
    if _KIND.fullmatch(part.type):
        return part.length <= _PICTURE * 4 // 3
    return part.type.startswith("text/") or (part.type == "application/pdf" and part.length <= _PDF * 4 // 3)


class Preview:
    """GET /g/GRANT/preview/part-PART."""

    def __init__(self, services: Services, pages: Pages, rendering: asyncio.Semaphore) -> None:
        self._services = services
        self._pages = pages
        self._rendering = rendering

    async def show(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        path = request.path_params["part"].removeprefix("part-")
        part = next((one for one in reading(opened.meta.parts).attachments if one.path == path), None)
        if part is None or not may_preview(part):
            raise unknown()
        if part.type == "application/pdf":
            await may_render(self._services, session.grant)
            async with self._rendering:
                values = await self._content(opened, part)
        else:
            values = await self._content(opened, part)
        fallback = self._pages.words(language_of(request, session.grant.language), "attachment")
        page = self._pages.page(
            request,
            "preview.html",
            session.grant,
            name=attachment_name(part, fallback),
            base=f"/g/{session.grant.id}",
            part=part,
            **_NOTHING | values,
        )
        page.headers["Content-Security-Policy"] = BODY_POLICY
        page.headers["Cross-Origin-Opener-Policy"] = ""
        if request.method == "GET":
            await self._services.store.call("viewer_downloaded", grant_id=session.grant.id, part=part.path or "0")
        return page

    async def _content(self, opened: Opened, part: Part) -> dict[str, Any]:
        if part.type.startswith("text/"):
            text, cut = await text_of(opened, part)
            return {"text": text, "cut": cut}
        data, complete = await start_of(opened, part, _PDF if part.type == "application/pdf" else _PICTURE)
        if not complete:
            return {"failed": True}
        if part.type == "application/pdf" and data.startswith(b"%PDF-"):
            return await self._sheets(data)
        picture = picture_address(data)
        return {"picture": picture} if picture else {"failed": True}

    async def _sheets(self, data: bytes) -> dict[str, Any]:
        try:
            shown = await self._services.renderer.show_pdf(data, _PAGES, _WIDTH)
        except NotRendered:
            return {"failed": True}
        sheets = [(f"data:image/png;base64,{b64encode(one.png).decode()}", one.text) for one in shown.pages]
        return {"sheets": sheets, "total": shown.total}
