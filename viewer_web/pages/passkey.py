"""Passkeys: one that opens a message, and one that is kept after a message was opened by a code.

Two steps each, as the browser's own dialogue stands between them: ask for what is to be signed, send what was signed.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets
from viewer_web.access import grant_of_link, session_of, within_limits
from viewer_web.pages.link import redirect
from viewer_web.passkeys import Holder, Passkeys
from viewer_web.problems import Problem, unknown
from viewer_web.render import Pages
from viewer_web.security import checked_form, set_cookie
from viewer_web.services import Services


class PasskeyPages:
    """POST /v/TOKEN/passkey[/open] and POST /g/GRANT/passkey[/add|/remove]. Only a page with its script gets here, but
    for removing."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages, passkeys: Passkeys) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages
        self._passkeys = passkeys

    async def ask_to_open(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        return _json(await self._passkeys.offer_to_open(await self._of_link(request), cookie))

    async def open(self, request: Request) -> Response:
        cookie, fields = await checked_form(request, self._services, self._secrets)
        await within_limits(request, self._services, "code", 120)
        holder = await self._of_link(request)
        session = await self._passkeys.open(holder, cookie, fields.get("answer", ""))
        if session is None:
            raise Problem("passkey.html", 403, holder.grant, {"back": request.url.path.removesuffix("/passkey/open")})
        response = redirect(request, f"/g/{holder.grant.id}")
        set_cookie(response, session)
        return response

    async def ask_to_add(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        return _json(await self._passkeys.offer_to_add(await self._of_session(request), cookie))

    async def add(self, request: Request) -> Response:
        cookie, fields = await checked_form(request, self._services, self._secrets)
        holder = await self._of_session(request)
        if not await self._passkeys.add(holder, cookie, fields.get("answer", "")):
            raise Problem("passkey.html", 403, holder.grant, {"back": f"/g/{holder.grant.id}"})
        return redirect(request, f"/g/{holder.grant.id}")

    async def remove(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        holder = await self._of_session(request)
        await self._passkeys.remove(holder, cookie)
        return redirect(request, f"/g/{holder.grant.id}")

    async def _of_link(self, request: Request) -> Holder:
        return _allowed(await self._passkeys.holder_of(await grant_of_link(request, self._services)))

    async def _of_session(self, request: Request) -> Holder:
        session, _ = await session_of(request, self._services)
        return _allowed(await self._passkeys.holder_of(session.grant))


def _allowed(holder: Holder | None) -> Holder:
    if holder is None:
        raise unknown()
    return holder


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
