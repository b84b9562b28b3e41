"""The sender's content, alone in a document that may do nothing (see ``security.BODY_POLICY``)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from viewer_web.access import Opened, open_message, session_of
from viewer_web.content import html_of, text_of
from viewer_web.reading import Reading, reading
from viewer_web.render import Pages
from viewer_web.security import BODY_POLICY
from viewer_web.services import Services


@dataclass(frozen=True, slots=True)
class Piece:
    """One part as it is shown: harmless HTML, or plain text."""

    html: str = ""
    text: str = ""


class Body:
    """GET /g/GRANT/body, with ``?as=text`` for the plain form."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    async def show(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await open_message(self._services, session, cookie)
        shown = reading(opened.meta.parts)
        plain = request.query_params.get("as") == "text"
        pieces, blocked, cut = await _pieces(opened, shown, plain=plain)
        page = self._pages.page(
            request, "body.html", session.grant, pieces=pieces, blocked=blocked, cut=cut, empty=not pieces
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
