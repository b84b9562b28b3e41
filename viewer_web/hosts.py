"""The host names that the Viewer answers under: the service's, and those that organisations have of their own.

A page under any other name isn't ours to show: a name that somebody else controls could lead to another address in the
next moment, and pages that were read under it would be that somebody's. A message of an organisation with a host name
of its own is read there, or at the service's, where links from before lead; never at another organisation's.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from relayd.delivery.origins import viewer_origin
from viewer_web.services import Services


class KnownHosts:
    """Lets requests for our hosts through; any other gets 421 (RFC 9110 §15.5.20)."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_ours(host_of_request(scope)):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("nothing here\n", 421)(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        services = self._services
        return host == hostname(services.origin) or host in {hostname(one) for one in services.origins}


def host_of_request(scope: Scope) -> str:
    """The host that was asked for, in lower case, without port and last dot; "" when there is none. Proxies may leave
    out the port, so that it proves nothing."""
    return hostname(f"//{Headers(scope=scope).get('host', '')}")


def hostname(origin: str) -> str:
    """An origin's host in the same form."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return "" if "@" in parts.netloc else (parts.hostname or "").removesuffix(".")


def is_at_home(request: HTTPConnection, services: Services, organisation: str) -> bool:
    """Whether this organisation's messages are read under the host that was asked for."""
    own = viewer_origin(services.configuration, services.organisation(organisation))
    return host_of_request(request.scope) in {hostname(services.origin), hostname(own)}
