"""Entering the access code, and asking for the SMS again."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.store.access_codes import COOLDOWN, SENDS_PER_CODE, Answer
from relayd.store.viewer_codes import Waiting
from relayd.store.viewer_tables import Grant
from viewer_web.access import within_limits
from viewer_web.codes import clean_code, enter_code, request_code, target_of
from viewer_web.language import language_of
from viewer_web.pages.link import no_code, redirect
from viewer_web.problems import signed_out
from viewer_web.render import Pages
from viewer_web.security import checked_form, cookie_of, set_cookie
from viewer_web.services import Services


class Code:
    """GET and POST /g/GRANT/code, POST /g/GRANT/resend. Only for a browser that asked for a code."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages

    async def show(self, request: Request) -> Response:
        return await self._page(request, cookie_of(request) or "", error="")

    async def enter(self, request: Request) -> Response:
        cookie, fields = await checked_form(request, self._services, self._secrets)
        await within_limits(request, self._services, "code", 120)
        grant_id = request.path_params["grant"]
        waiting = await self._waiting(grant_id, cookie)
        code = clean_code(fields.get("code", ""), waiting.reference if waiting else "")
        if code is None:
            return await self._page(request, cookie, error="form")
        session = await enter_code(self._services, grant_id, cookie, code)
        if session is None:
            return await self._page(request, cookie, error="wrong")
        response = redirect(request, f"/g/{grant_id}")
        set_cookie(response, session)
        return response

    async def resend(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        grant_id = request.path_params["grant"]
        grant = await self._grant(grant_id)
        if grant is None or await self._waiting(grant_id, cookie) is None:
            raise signed_out()
        language = language_of(request, grant.language)
        answer = await request_code(self._services, self._secrets, grant, cookie, language)
        if answer in {Answer.SEND, Answer.COOLDOWN, Answer.ENOUGH}:
            return redirect(request, f"/g/{grant_id}/code")
        return no_code(self._pages, request, grant, answer)

    async def _page(self, request: Request, cookie: str, *, error: str) -> Response:
        grant_id = request.path_params["grant"]
        waiting = await self._waiting(grant_id, cookie)
        grant = await self._grant(grant_id)
        if waiting is None or grant is None:
            raise signed_out()
        target = await target_of(self._services, grant)
        if grant.locked:
            return self._pages.page(request, "locked.html", grant, status=403)
        base = f"/g/{grant_id}"
        return await self._pages.form(
            request,
            "code.html",
            grant,
            status=422 if error else 200,
            forms=(f"{base}/code", f"{base}/resend"),
            error=error,
            target=target,
            **self._standing(waiting),
        )

    def _standing(self, waiting: Waiting) -> dict[str, Any]:
        live = waiting.sealed is not None
        wait = int(max(0.0, waiting.last_sent_at + COOLDOWN - self._services.clock.now()) + 0.999)
        return {
            "live": live,
            "wait": wait if live else 0,
            "may_resend": not live or waiting.sends < SENDS_PER_CODE,
            "waiting": waiting,
        }

    async def _waiting(self, grant_id: str, cookie: str) -> Waiting | None:
        waiting: Waiting | None = await self._services.store.call(
            "viewer_waiting", grant_id=grant_id, browser=digest(cookie)
        )
        return waiting

    async def _grant(self, grant_id: str) -> Grant | None:
        grant: Grant | None = await self._services.store.call("viewer_grant", grant_id=grant_id)
        return grant
