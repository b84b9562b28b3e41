"""The sender's content, alone in a document that may do nothing (see ``security.BODY_POLICY``)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from relayd.mail.patch import PatchedBody
from relayd.rendering.renderer import NotRendered, Renderer
from relayd.store.viewer_tables import Grant
from viewer_web.access import Opened, may_render, open_message, session_of
from viewer_web.content import Room, html_of, text_of
from viewer_web.language import language_of
from viewer_web.pages.download import disposition
from viewer_web.problems import Problem, unknown
from viewer_web.reading import Reading, attachment_name, reading, shown_size
from viewer_web.render import Pages
from viewer_web.security import BODY_POLICY, DOWNLOAD_POLICY
from viewer_web.services import Services

#: A larger message isn't put inside its PDF.
_INSIDE_PDF = 20 * 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """One part as it is shown: harmless HTML, or plain text."""

    html: str = ""
    text: str = ""


@dataclass(slots=True)
class Seen:
    """All pieces, how many pictures were blocked, and whether anything was too much to show or couldn't be shown."""

    pieces: list[Piece] = field(default_factory=list)
    blocked: int = 0
    cut: bool = False
    failed: bool = False


class Body:
    """GET /g/GRANT/body, with ``?as=text`` for the plain form; GET /g/GRANT/print and /g/GRANT/message.pdf, with the
    message's facts above it and its attachments below."""

    def __init__(self, services: Services, pages: Pages, rendering: asyncio.Semaphore) -> None:
        self._services = services
        self._pages = pages
        self._rendering = rendering

    async def show(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        plain = request.query_params.get("as") == "text"
        return await self._document(request, session.grant, opened, "body.html", plain=plain)

    async def printed(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        return await self._document(request, session.grant, opened, "print.html")

    async def pdf(self, request: Request) -> Response:
        """The same as PDF/A-3a, with the message as it came inside."""
        session, cookie = await session_of(request, self._services)
        if not self._services.renderer.makes_pdf:
            raise unknown()
        opened = await open_message(self._services, session, cookie)
        name = self._pages.words(language_of(request, session.grant.language), "message")
        headers = {
            "Content-Disposition": disposition(f"{name}.pdf"),
            "Content-Security-Policy": DOWNLOAD_POLICY,
        }
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/pdf")
        await may_render(self._services, session.grant)
        async with self._rendering:
            page = await self._document(request, session.grant, opened, "print.html")
            copy = PatchedBody(opened.body, opened.patch)
            # What is large stays out: it has to fit into the renderer's memory.
            original = b"".join([block async for block in copy.blocks()]) if copy.size <= _INSIDE_PDF else b""
            try:
                made = await self._services.renderer.make_pdf(bytes(page.body).decode(), original, f"{name}.eml")
            except NotRendered as error:
                raise Problem("not_rendered.html", 422, session.grant, {"base": f"/g/{session.grant.id}"}) from error
        await self._services.store.call("viewer_downloaded", grant_id=session.grant.id, part="pdf")
        return Response(made, headers=headers, media_type="application/pdf")

    async def _document(
        self, request: Request, grant: Grant, opened: Opened, template: str, *, plain: bool = False
    ) -> Response:
        shown = reading(opened.meta.parts)
        seen = await _seen(self._services.renderer, opened, shown, plain=plain)
        fallback = self._pages.words(language_of(request, grant.language), "attachment")
        page = self._pages.page(
            request,
            template,
            grant,
            pieces=seen.pieces,
            blocked=seen.blocked,
            cut=seen.cut,
            unshown=seen.failed,
            empty=not seen.pieces and not seen.failed,
            subject=opened.headers.text("subject").strip(),
            sender=opened.headers.text("from").strip() or opened.message.sender,
            received_at=opened.message.received_at,
            attachments=[(attachment_name(part, fallback), shown_size(part)) for part in shown.attachments],
        )
        page.headers["Content-Security-Policy"] = BODY_POLICY
        # A sandboxed document with an opener policy of its own isn't shown by browsers at all.
        page.headers["Cross-Origin-Opener-Policy"] = ""
        return page


async def _seen(renderer: Renderer, opened: Opened, shown: Reading, *, plain: bool) -> Seen:
    """What is to be seen; when HTML has nothing visible left, the plain text instead."""
    seen, room = Seen(), Room()
    for part in shown.text if plain else shown.html:
        if room.text <= 0:
            seen.cut = True
            break
        if part.type == "text/html":
            try:
                clean, cut = await html_of(renderer, opened, shown, part, room)
            except NotRendered:
                seen.failed = True
                break
            seen.blocked += clean.blocked
            room.text -= clean.size
            if clean.visible:
                seen.pieces.append(Piece(html=clean.html))
        else:
            text, cut = await text_of(opened, part, room.text)
            if text.strip():
                seen.pieces.append(Piece(text=text))
        seen.cut = seen.cut or cut
        room.text -= part.length
    if not seen.pieces and not plain and (shown.text != shown.html):
        instead = await _seen(renderer, opened, shown, plain=True)
        seen.pieces = instead.pieces
    return seen
