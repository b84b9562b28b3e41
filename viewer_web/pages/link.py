"""The neutral page behind the link of the notification mail, and its one button: send the code.

Opening it changes nothing, and the token in its path isn't a credential: it shows which organisation wrote and the
last two digits of the number that the code goes to.
"""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.store.access_codes import Answer
from relayd.store.viewer import Session
from relayd.store.viewer_tables import Channel, Grant
from viewer_web.access import grant_of_link
from viewer_web.codes import request_code, target_of
from viewer_web.language import language_of
from viewer_web.passkeys import Passkeys
from viewer_web.problems import unknown
from viewer_web.render import Pages
from viewer_web.security import checked_form, cookie_of
from viewer_web.services import Services

#: With a code under way the browser goes on to enter it; otherwise the page says why there is none.
_GOES_ON = {Answer.SEND, Answer.COOLDOWN, Answer.ENOUGH}


class SecretPage(Protocol):
    """The page of a link that opens with a word instead of a code."""

    async def page(self, request: Request, grant: Grant, *, inside: bool) -> Response: ...


class Link:
    """GET /v/TOKEN and POST /v/TOKEN."""

    def __init__(
        self, services: Services, secrets: InstallationSecrets, pages: Pages, secret: SecretPage, passkeys: Passkeys
    ) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages
        self._secret = secret
        self._passkeys = passkeys

    async def show(self, request: Request) -> Response:
        grant = await grant_of_link(request, self._services)
        if request.method == "GET":
            await self._services.store.call("viewer_visited", grant_id=grant.id)
        if grant.locked:
            return self._pages.page(request, "locked.html", grant, status=403)
        inside = await self._has_session(request, grant)
        if grant.channel in (Channel.ACCESS_CODE, Channel.PASSWORD):
            return await self._secret.page(request, grant, inside=inside)
        target = await target_of(self._services, grant)
        holder = await self._passkeys.holder_of(grant)
        passkey = f"{request.url.path}/passkey"
        return await self._pages.form(
            request,
            "link.html",
            grant,
            forms=(request.url.path, f"{request.url.path}/number", passkey, f"{passkey}/open"),
            target=target,
            inside=inside,
            has_passkey=holder is not None and bool(await self._passkeys.known(holder)),
        )

    async def send_code(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        grant = await grant_of_link(request, self._services)
        if grant.channel in (Channel.ACCESS_CODE, Channel.PASSWORD):
            raise unknown()
        answer = await request_code(self._services, self._secrets, grant, cookie, language_of(request, grant.language))
        if answer not in _GOES_ON:
            return no_code(self._pages, request, grant, answer)
        # The token leaves the address bar; from here on the cookie says which browser asked.
        return redirect(request, f"/g/{grant.id}/code")

    async def dispute(self, request: Request) -> Response:
        """The reader says that the number isn't his. Pressed by a scanner it costs the sender one mail."""
        await checked_form(request, self._services, self._secrets)
        grant = await grant_of_link(request, self._services)
        await self._services.store.call("viewer_number_dispute", grant_id=grant.id)
        return self._pages.page(request, "disputed.html", grant)

    async def _has_session(self, request: Request, grant: Grant) -> bool:
        cookie = cookie_of(request)
        if cookie is None:
            return False
        session: Session | None = await self._services.store.call(
            "viewer_session", grant_id=grant.id, browser=digest(cookie)
        )
        return session is not None


def no_code(pages: Pages, request: Request, grant: Grant, answer: Answer) -> Response:
    """Why no code went out."""
    if answer is Answer.LOCKED:
        return pages.page(request, "locked.html", grant, status=403)
    if answer is Answer.GONE:
        return pages.page(request, "gone.html", grant, status=410, withdrawn=False)
    return pages.page(request, "no_code.html", grant, status=429, personal=answer is Answer.TOO_MANY)


def redirect(request: Request, path: str) -> RedirectResponse:
    """After a POST, on to a page that can be reloaded; the chosen language goes along."""
    language = request.query_params.get("lang")
    return RedirectResponse(f"{path}?lang={language_of(request)}" if language else path, 303)
