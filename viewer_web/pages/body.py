"""The sender's content, alone in a document that may do nothing (see ``security.BODY_POLICY``)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from relayd.mail.patch import PatchedBody
from relayd.rendering.renderer import NotRendered
from relayd.store.viewer_tables import Grant
from viewer_web.access import Opened, open_message, session_of
from viewer_web.content import html_of, text_of
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


class Body:
    """GET /g/GRANT/body, with ``?as=text`` for the plain form; GET /g/GRANT/print and /g/GRANT/message.pdf, with the
    message's facts above it and its attachments below."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self._services = services
        self._pages = pages

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
        page = await self._document(request, session.grant, opened, "print.html")
        name = self._pages.words(language_of(request, session.grant.language), "message")
        headers = {
            "Content-Disposition": disposition(f"{name}.pdf"),
            "Content-Security-Policy": DOWNLOAD_POLICY,
        }
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/pdf")
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
        pieces, blocked, cut = await _pieces(opened, shown, plain=plain)
        fallback = self._pages.words(language_of(request, grant.language), "attachment")
        page = self._pages.page(
            request,
            template,
            grant,
            pieces=pieces,
            blocked=blocked,
            cut=cut,
            empty=not pieces,
            subject=opened.headers.text("subject").strip(),
            sender=opened.headers.text("from").strip() or opened.message.sender,
            received_at=opened.message.received_at,
            attachments=[(attachment_name(part, fallback), shown_size(part)) for part in shown.attachments],
        )
        page.headers["Content-Security-Policy"] = BODY_POLICY
        # A sandboxed document with an opener policy of its own isn't shown by browsers at all.
        page.headers["Cross-Origin-Opener-Policy"] = ""
        return page


async def _pieces(opened: Opened, shown: Reading, *, plain: bool) -> tuple[list[Piece], int, bool]:
    """What is to be seen; when HTML has nothing visible left, the plain text instead."""
    pieces: list[Piece] = []
    blocked = 0
    any_cut = False
    for part in shown.text if plain else shown.html:
        if part.type == "text/html":
            clean, cut = await html_of(opened, shown, part)
            blocked += clean.blocked
            if clean.visible:
                pieces.append(Piece(html=clean.html))
        else:
            text, cut = await text_of(opened, part)
            if text.strip():
                pieces.append(Piece(text=text))
        any_cut = any_cut or cut
    if not pieces and not plain:
        return (await _pieces(opened, shown, plain=True))[0], blocked, any_cut
    return pieces, blocked, any_cut
