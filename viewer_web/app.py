"""The Viewer as one ASGI application: routes, errors, headers, the log of requests; beside it, MTA-STS policies.

GET and HEAD are inert: mail scanners open every link they see, and some press buttons too. They send nothing, count as
nothing and use nothing up. What changes something is a POST from one of our own forms, and sending one twice does no
more than sending it once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relayd.delivery.installation import InstallationSecrets
from relayd.errors import KeyUnavailable, SealBroken, StoreUnavailable
from viewer_web.hosts import KnownHosts
from viewer_web.housekeeping import House
from viewer_web.pages.body import Body
from viewer_web.pages.code import Code
from viewer_web.pages.download import Download
from viewer_web.pages.forward import ForwardPages
from viewer_web.pages.link import Link
from viewer_web.pages.look import Look
from viewer_web.pages.message import MessagePage
from viewer_web.pages.passkey import PasskeyPages
from viewer_web.pages.preview import Preview
from viewer_web.pages.receipts import Receipts
from viewer_web.pages.reply import ReplyPages
from viewer_web.pages.secret import Secret
from viewer_web.pages.sender import SenderPages
from viewer_web.pages.session import SessionPages
from viewer_web.passkeys import Passkeys
from viewer_web.policy_host import PolicyHosts
from viewer_web.problems import Problem, unavailable, unknown
from viewer_web.render import Pages
from viewer_web.security import SecurityHeaders
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")
_HOUSEKEEPING: Final = 60.0
_PROBLEMS: Final = (Problem, HTTPException, StoreUnavailable, KeyUnavailable, SealBroken)
_GRANT: Final = re.compile(r"[0-9a-f]{32}")


def create_app(services: Services) -> Starlette:
    """The application. Its lifespan runs the housekeeping; it closes nothing of ``services``."""
    secrets = InstallationSecrets(services.store, services.vault, services.random)
    pages = Pages(services, secrets)

    async def problem(request: Request, error: Exception) -> Response:
        return _problem_page(pages, request, error)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        house = asyncio.create_task(_keep_house(House(services, secrets)))
        yield
        house.cancel()

    return Starlette(
        routes=_routes(services, secrets, pages),
        middleware=[
            Middleware(PolicyHosts, published=services.published),
            Middleware(KnownHosts, services=services),
            Middleware(SecurityHeaders, https=services.origin.startswith("https:")),
            Middleware(RequestLog),
            Middleware(Defects, pages=pages),
        ],
        exception_handlers=dict.fromkeys(_PROBLEMS, problem),
        lifespan=lifespan,
    )


def _routes(services: Services, secrets: InstallationSecrets, pages: Pages) -> list[BaseRoute]:
    code = Code(services, secrets, pages)
    passkeys = Passkeys(services, secrets)
    passkey = PasskeyPages(services, secrets, pages, passkeys)
    message = MessagePage(services, pages, passkeys)
    # What is rendered is held in memory, waiting for its turn too.
    rendering = asyncio.Semaphore(2)
    body = Body(services, pages, rendering)
    download = Download(services, pages)
    look = Look(services, pages)
    preview = Preview(services, pages, rendering)
    receipts = Receipts(services)
    session = SessionPages(services, secrets, pages)
    reply = ReplyPages(services, secrets, pages)
    forward = ForwardPages(services, secrets, pages)
    sender = SenderPages(services, secrets, pages)
    secret = Secret(services, secrets, pages)
    link = Link(services, secrets, pages, secret, passkeys)
    return [
        Route("/v/{token}", link.show, name="link"),
        Route("/v/{token}", link.send_code, methods=["POST"], name="send code"),
        Route("/v/{token}/open", secret.enter, methods=["POST"], name="enter secret"),
        Route("/v/{token}/number", link.dispute, methods=["POST"], name="dispute number"),
        Route("/v/{token}/passkey", passkey.ask_to_open, methods=["POST"], name="ask passkey"),
        Route("/v/{token}/passkey/open", passkey.open, methods=["POST"], name="open by passkey"),
        Route("/g/{grant}/passkey", passkey.ask_to_add, methods=["POST"], name="offer passkey"),
        Route("/g/{grant}/passkey/add", passkey.add, methods=["POST"], name="add passkey"),
        Route("/g/{grant}/passkey/remove", passkey.remove, methods=["POST"], name="remove passkeys"),
        Route("/g/{grant}/code", code.show, name="code"),
        Route("/g/{grant}/code", code.enter, methods=["POST"], name="enter code"),
        Route("/g/{grant}/resend", code.resend, methods=["POST"], name="resend code"),
        Route("/g/{grant}", message.show, name="message"),
        Route("/g/{grant}/body", body.show, name="body"),
        Route("/g/{grant}/print", body.printed, name="print"),
        Route("/g/{grant}/message.pdf", body.pdf, name="message as PDF"),
        Route("/g/{grant}/all.zip", download.archive, name="all attachments"),
        Route("/g/{grant}/preview/{part}", preview.show, name="preview"),
        Route("/g/{grant}/attachment/{part}", download.attachment, name="attachment"),
        Route("/g/{grant}/message.eml", download.message, name="whole message"),
        Route("/g/{grant}/reply", reply.show, name="reply"),
        Route("/g/{grant}/reply", reply.submit, methods=["POST"], name="write reply"),
        Route("/g/{grant}/sent", reply.sent, name="reply sent"),
        Route("/g/{grant}/forward", forward.show, name="forward"),
        Route("/g/{grant}/forward", forward.submit, methods=["POST"], name="pass on"),
        Route("/g/{grant}/extend", session.extend, methods=["POST"], name="extend"),
        Route("/g/{grant}/logout", session.logout, methods=["POST"], name="log out"),
        Route("/s/{token}", sender.link, name="sender's link"),
        Route("/s/{token}", sender.enter, methods=["POST"], name="sender enters"),
        Route("/follow/{message}", sender.show, name="sender's page"),
        Route("/follow/{message}", sender.act, methods=["POST"], name="sender acts"),
        Route("/follow/{message}/logout", session.logout, methods=["POST"], name="sender logs out"),
        Route("/sms/receipts/{gateway}", receipts.take, methods=["POST"], name="receipt"),
        Route("/look/{organisation}.css", look.style, name="look"),
        Route("/look/{organisation}/logo", look.logo, name="logo"),
        Route("/about", look.about, name="about"),
        Route("/bye", session.bye, name="bye"),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static"),
    ]


def _problem_page(pages: Pages, request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            return pages.page(request, "stale_form.html", status=405)
        error = unknown()
    elif isinstance(error, StoreUnavailable | KeyUnavailable | SealBroken):
        _log.error("viewer.unavailable", reason=type(error).__name__)
        error = unavailable()
    elif not isinstance(error, Problem):
        raise error
    return pages.page(request, error.template, error.grant, status=error.status, **error.values)


async def _keep_house(house: House) -> None:
    while True:
        try:
            await house.round()
        except Exception as error:
            _log.error("viewer.housekeeping_failed", error=type(error).__name__)
        await asyncio.sleep(_HOUSEKEEPING)


class Defects:
    """An exception that nobody foresaw becomes a page, and its type alone is logged: its text may quote content.

    When the response has begun already it just ends there, and the server drops the connection: a broken download.
    """

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _log.error("viewer.defect", error=type(error).__name__, begun=begun)
            if not begun:
                page = self._pages.page(Request(scope), "unavailable.html", status=500)
                await page(scope, receive, send)


def _grant_in(scope: Scope) -> str | None:
    """What has the form of one: anybody can put anything there, of any length."""
    found = _GRANT.fullmatch(scope.get("path_params", {}).get("grant", ""))
    return found[0] if found else None


class RequestLog:
    """One line per request: the page's name, never its path, which may hold a link's token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                _log.info(
                    "viewer.request",
                    page=getattr(route, "name", None) or "none",
                    method=scope["method"],
                    status=message["status"],
                    grant=_grant_in(scope),
                )
            await send(message)

        await self._app(scope, receive, logged)
