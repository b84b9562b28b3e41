"""An organisation's look: its colour as a style sheet, its logo as a picture; and the page that says what all this is.

Neither is secret: organisations' ids stand in both addresses. A logo runs nothing, whatever is in its file.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from relayd.settings.organisations import LARGEST_LOGO, PNG
from viewer_web.hosts import host_of_request
from viewer_web.problems import unknown
from viewer_web.render import Pages
from viewer_web.security import DOWNLOAD_POLICY
from viewer_web.services import Services

#: A day: the address changes with the content.
_CACHE: Final = "public, max-age=86400"


class Look:
    """GET /look/ORG.css, GET /look/ORG/logo, GET /about."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    async def style(self, request: Request) -> Response:
        organisation = self._services.organisation(request.path_params["organisation"])
        if organisation is None or not organisation.settings.colour:
            raise unknown()
        colour = organisation.settings.colour
        sheet = f":root {{ --accent: {colour}; --accent-dark: color-mix(in srgb, {colour}, black 25%); }}\n"
        return Response(sheet, media_type="text/css", headers={"Cache-Control": _CACHE})

    async def logo(self, request: Request) -> Response:
        organisation = self._services.organisation(request.path_params["organisation"])
        if organisation is None or organisation.settings.logo is None:
            raise unknown()
        data = await asyncio.to_thread(_read, organisation.settings.logo)
        if not data or len(data) > LARGEST_LOGO:
            raise unknown()
        kind = "image/png" if data.startswith(PNG) else "image/svg+xml"
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {"Cache-Control": _CACHE, "ETag": tag, "Content-Security-Policy": DOWNLOAD_POLICY}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    async def about(self, request: Request) -> Response:
        return self._pages.page(request, "about.html", host=host_of_request(request.scope))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_LOGO + 1)
    except OSError:
        return b""
