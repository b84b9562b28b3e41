"""Staying signed in, and signing out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets, digest
from viewer_web.access import session_of
from viewer_web.pages.link import redirect
from viewer_web.render import Pages
from viewer_web.security import checked_form, clear_cookie
from viewer_web.services import Services


class SessionPages:
    """POST /g/GRANT/extend, POST /g/GRANT/logout, POST /follow/MESSAGE/logout, GET /bye."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages

    async def extend(self, request: Request) -> Response:
        await checked_form(request, self._services, self._secrets)
        await session_of(request, self._services)
        return redirect(request, f"/g/{request.path_params['grant']}")

    async def logout(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        await self._services.store.call("viewer_logout", browser=digest(cookie))
        response = redirect(request, "/bye")
        clear_cookie(response)
        # Not "cookies": that would also clear those of the organisation's other sites on the same domain.
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    async def bye(self, request: Request) -> Response:
        return self._pages.page(request, "bye.html")
