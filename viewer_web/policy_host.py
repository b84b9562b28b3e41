"""The hosts ``mta-sts.DOMAIN``: each has its domain's MTA-STS policy, and nothing else (RFC 8461 §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain
from relayd.tls.mta_sts import PATH, policy_file
from relayd.tls.sts_policy import StsPolicy

_PREFIX: Final = "mta-sts."

_log = structlog.get_logger("relayd.mta_sts")


class PolicyHosts:
    """Answers for these hosts, and lets no request for one of them through to the pages."""

    def __init__(self, app: ASGIApp, published: Callable[[Domain], StsPolicy | None]) -> None:
        self._app = app
        self._published = published

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _host(scope) if scope["type"] == "http" else ""
        if not host.startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        await self._answer(host.removeprefix(_PREFIX), scope["path"], scope["method"])(scope, receive, send)

    def _answer(self, name: str, path: str, method: str) -> Response:
        policy = self._policy(name) if path == PATH else None
        if policy is None:
            return PlainTextResponse("nothing here\n", 404)
        if method not in ("GET", "HEAD"):
            return PlainTextResponse("only to be read\n", 405, {"Allow": "GET, HEAD"})
        _log.info("mta_sts_policy_served", domain=policy.domain)
        return PlainTextResponse(policy_file(policy))

    def _policy(self, name: str) -> StsPolicy | None:
        try:
            return self._published(normalise_domain(name))
        except SyntaxInvalid:
            return None


def _host(scope: Scope) -> str:
    """The host that was asked for, in lower case, without port and last dot."""
    return Headers(scope=scope).get("host", "").lower().partition(":")[0].removesuffix(".")
