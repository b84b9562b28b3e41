"""Headers, cookies and where a form may come from.

Only POST changes anything, and a POST counts only when the browser says that our own page sent it
(``Sec-Fetch-Site``, or ``Origin`` where a browser doesn't send that) *and* it carries the token that we put into that
form for that browser. The cookie is 256 random bits; what it may do stands in the store under its SHA-256.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relayd.delivery.installation import InstallationSecrets
from viewer_web.hosts import host_of_request, hostname
from viewer_web.problems import Problem, stale_form
from viewer_web.services import Services

COOKIE: Final = "__Host-vw"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: A note of 2000 characters is 24,000 octets in a form, when each is four octets of UTF-8.
_FORM_LIMIT: Final = 32 * 1024

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'"
)
#: For the sender's HTML: an origin of its own, no script, no request to anywhere, even without the sanitiser.
BODY_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
DOWNLOAD_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"

_HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class SecurityHeaders:
    """Puts the headers on every response that hasn't its own; an empty value removes one."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self._app = app
        self._headers = dict(_HEADERS)
        if https:  # RFC 6797 §7.2: never over plain HTTP
            self._headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    if headers.setdefault(name, value) == "":
                        del headers[name]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def cookie_of(request: Request) -> str | None:
    """Our cookie's value, when the browser sent a well-formed one."""
    value = request.cookies.get(COOKIE, "")
    return value if _TOKEN.fullmatch(value) else None


def new_cookie(services: Services) -> str:
    return services.random.token_urlsafe(32)


def set_cookie(response: Response, value: str) -> None:
    # Lax: with Strict, opening the link from a webmail page would lose the session.
    response.set_cookie(COOKIE, value, path="/", secure=True, httponly=True, samesite="lax")


def clear_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


async def form_token(secrets: InstallationSecrets, cookie: str, path: str) -> str:
    """What a form for ``path`` must carry when this browser sends it."""
    key = await secrets.key("forms")
    return urlsafe_b64encode(hmac.digest(key, f"{cookie} {path}".encode(), "sha256")).decode()


async def checked_form(
    request: Request, services: Services, secrets: InstallationSecrets
) -> tuple[str, Mapping[str, str]]:
    """The browser's cookie and the fields of a form that our own page sent. Raises Problem for any other."""
    cookie = form_cookie(request, services)
    fields = await _read_form(request)
    await check_token(request, secrets, cookie, fields.get("token", ""))
    return cookie, fields


def form_cookie(request: Request, services: Services) -> str:
    """The cookie of a browser that says that our own page sent this form. Raises Problem for any other."""
    cookie = cookie_of(request)
    if cookie is None or not same_origin(request, services.origins):
        raise stale_form()
    return cookie


async def check_token(request: Request, secrets: InstallationSecrets, cookie: str, token: str) -> None:
    """Raises Problem unless we put this token into a form for this browser and path."""
    expected = await form_token(secrets, cookie, request.url.path)
    if not hmac.compare_digest(expected.encode(), token.encode()):
        raise stale_form()


def same_origin(request: Request, origins: Collection[str]) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    if site is not None:
        return site == "same-origin"
    # Another organisation's host is ours too, but not the one whose page this form is on.
    return origin in origins and hostname(origin) == host_of_request(request.scope)


async def _read_form(request: Request) -> dict[str, str]:
    """A small form, held in memory only: Starlette's own would spool what is large to a file in clear text."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise stale_form()
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > _FORM_LIMIT:
            raise Problem("stale_form.html", 413)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise stale_form() from error
    return dict(pairs)
