"""Getting in with a word: the access code that the sender gave, or reference and password of a message passed on.

A try is counted before it is looked at, and a wrong reference costs as much as a wrong password. What can't be right by
its length costs no try: scanners press buttons with nothing in the fields. One that our own trouble kept from an answer
is given back, unless it was wrong: then the trouble came after it was looked at.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress

from argon2.exceptions import VerifyMismatchError
from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.delivery.viewer import HASHER
from relayd.errors import KeyDestroyed, NotFound, StoreUnavailable
from relayd.store.records import Message
from relayd.store.viewer_passwords import Try
from relayd.store.viewer_tables import Channel, Grant
from relayd.vault.vault import MessageKey
from viewer_web.access import grant_of_link, within_limits
from viewer_web.pages.link import redirect
from viewer_web.passwords import LENGTH, REFERENCE_LENGTH, plain, reference_of
from viewer_web.problems import gone, unknown
from viewer_web.render import Pages
from viewer_web.security import checked_form, new_cookie, set_cookie
from viewer_web.services import Services

#: Argon2 computations at once: each takes 19 MiB.
_AT_ONCE = 4


class Secret:
    """POST /v/TOKEN/open."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def enter(self, request: Request) -> Response:
        cookie, fields = await checked_form(request, self._services, self._secrets)
        await within_limits(request, self._services, "code", 120)
        grant = await grant_of_link(request, self._services)
        if grant.channel not in (Channel.ACCESS_CODE, Channel.PASSWORD):
            raise unknown()
        if not _complete(grant, fields):
            return await self.page(request, grant, error=True)
        allowed: Try = await self._services.store.call("viewer_secret_try", grant_id=grant.id)
        if allowed is not Try.ALLOWED:
            return self._refused(request, grant, allowed)
        try:
            session = await self._looked_at(grant, cookie, fields)
        except Exception:
            with suppress(StoreUnavailable):
                await self._services.store.call("viewer_secret_untried", grant_id=grant.id)
            raise
        if session is None:
            await self._services.store.call("viewer_secret_wrong", grant_id=grant.id)
            return await self.page(request, grant, error=True)
        response = redirect(request, f"/g/{grant.id}")
        set_cookie(response, session)
        return response

    async def _looked_at(self, grant: Grant, cookie: str, fields: Mapping[str, str]) -> str | None:
        """The new cookie of a session when the words are right, else None."""
        key = await self._opened(grant, fields)
        if key is None:
            return None
        fresh = new_cookie(self._services)
        begun: bool = await self._services.store.call(
            "viewer_secret_right",
            grant_id=grant.id,
            browser=digest(cookie),
            new_browser=digest(fresh),
            key=key.for_holder(fresh) if grant.channel is Channel.PASSWORD else None,
        )
        if not begun:
            raise gone(grant)
        return fresh

    async def page(self, request: Request, grant: Grant, *, error: bool = False, inside: bool = False) -> Response:
        """The page behind such a link."""
        token = request.path_params["token"]
        return await self._pages.form(
            request,
            "secret.html",
            grant,
            status=422 if error else 200,
            forms=(f"/v/{token}/open",),
            action=f"/v/{token}/open",
            passed_on=grant.channel is Channel.PASSWORD,
            error=error,
            inside=inside,
        )

    def _refused(self, request: Request, grant: Grant, answer: Try) -> Response:
        if answer is Try.GONE:
            raise gone(grant)
        if answer is Try.LOCKED:
            return self._pages.page(request, "locked.html", grant, status=403)
        return self._pages.page(request, "paused.html", grant, status=429)

    async def _opened(self, grant: Grant, fields: Mapping[str, str]) -> MessageKey | None:
        try:
            message = await self._services.store.message(grant.message_id)
            async with self._turn:
                return await asyncio.to_thread(self._try, grant, message, fields)
        except (NotFound, KeyDestroyed) as error:
            raise gone(grant) from error

    def _try(self, grant: Grant, message: Message, fields: Mapping[str, str]) -> MessageKey | None:
        place = (message.organisation, message.epoch, message.id, message.wrapped_key)
        if grant.channel is Channel.PASSWORD:
            key = self._services.vault.open_with(*place, plain(fields.get("password", "")))
            reference = plain(fields.get("reference", "")).encode()
            return key if hmac.compare_digest(reference, reference_of(grant.id).encode()) else None
        key = self._services.vault.open(*place)
        verifier = key.unseal(f"access:{grant.id}", grant.secret or b"").decode()
        try:
            HASHER.verify(verifier, fields.get("password", "").strip())
        except VerifyMismatchError:
            return None
        return key


def _complete(grant: Grant, fields: Mapping[str, str]) -> bool:
    """Whether all that is asked for was filled in."""
    word = fields.get("password", "")
    if grant.channel is Channel.ACCESS_CODE:
        return bool(word.strip())
    return len(plain(word)) == LENGTH and len(plain(fields.get("reference", ""))) == REFERENCE_LENGTH
