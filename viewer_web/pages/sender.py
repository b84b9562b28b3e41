"""The sender's own page: how far his message has come with each reader, and what he can still do about it.

The link is in his confirmation. Opening it changes nothing; a button takes the token out of the address bar and begins
a session. Nothing of the content is shown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import phonenumbers
import structlog
from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.delivery.notices import Notices
from relayd.delivery.origins import viewer_origin
from relayd.delivery.viewer import bounce_address
from relayd.errors import Conflict, KeyDestroyed, LimitReached, NotFound
from relayd.journal.tracking import Passed, steps_of
from relayd.sms.numbers import may_get_code
from relayd.store.records import Message
from relayd.store.viewer_senders import SenderLink
from relayd.store.viewer_tables import Channel, Grant
from viewer_web.access import within_limits
from viewer_web.hosts import is_at_home
from viewer_web.pages.link import redirect
from viewer_web.problems import Problem, unknown
from viewer_web.render import Pages
from viewer_web.security import checked_form, cookie_of, new_cookie, set_cookie
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")


@dataclass(frozen=True, slots=True)
class Row:
    """One reader as the sender sees him."""

    grant: Grant
    steps: list[Passed]
    ended: bool


class SenderPages:
    """GET and POST /s/TOKEN, GET and POST /follow/MESSAGE."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages
        self._notices = Notices(services.configuration, services.signing)

    async def link(self, request: Request) -> Response:
        message = await self._message_of_link(request)
        return await self._pages.form(
            request,
            "sender_link.html",
            forms=(request.url.path,),
            organisation_id=message.organisation,
            received_at=message.received_at,
        )

    async def enter(self, request: Request) -> Response:
        cookie, _ = await checked_form(request, self._services, self._secrets)
        message = await self._message_of_link(request)
        fresh = new_cookie(self._services)
        begun: bool = await self._services.store.call(
            "viewer_sender_enter", message_id=message.id, browser=digest(cookie), new_browser=digest(fresh)
        )
        if not begun:
            raise unknown()
        response = redirect(request, f"/follow/{message.id}")
        set_cookie(response, fresh)
        return response

    async def show(self, request: Request) -> Response:
        return await self._page(request, await self._message(request))

    async def act(self, request: Request) -> Response:
        _, fields = await checked_form(request, self._services, self._secrets)
        message = await self._message(request)
        do, _, grant_id = fields.get("do", "").partition(":")
        grants = await self._grants(message)
        grant = next((one for one in grants if one.id == grant_id), None)
        if do in ("revoke", "restore") and (grant is not None or grant_id == "all"):
            recipient = grant.recipient if grant is not None else ""
            await self._services.store.call(f"viewer_{do}", message_id=message.id, recipient=recipient)
        elif do == "unlock" and grant is not None:
            await self._services.store.call("viewer_unlock", message_id=message.id, recipient=grant.recipient)
        elif do == "again" and grant is not None:
            if error := await self._notify(message, grant):
                return await self._page(request, message, error=error, at=grant.id)
        elif do == "number" and grant is not None:
            if error := await self._correct(message, grant, fields.get(f"number-{grant.id}", "")):
                return await self._page(request, message, error=error, at=grant.id)
        else:
            raise unknown()
        return redirect(request, f"/follow/{message.id}")

    async def _message_of_link(self, request: Request) -> Message:
        found: SenderLink | None = await self._services.store.call(
            "viewer_sender_by_token", token_hash=digest(request.path_params["token"])
        )
        if found is None or found.expires_at <= self._services.clock.now():
            await within_limits(request, self._services, "unknown link", 60)
            raise unknown()
        message = await self._stored(found.message_id)
        if not is_at_home(request, self._services, message.organisation):
            raise unknown()
        return message

    async def _message(self, request: Request) -> Message:
        """The message in the path, for a browser whose sender's session for it runs."""
        cookie, message_id = cookie_of(request), request.path_params["message"]
        runs = cookie is not None and await self._services.store.call(
            "viewer_sender_seen", message_id=message_id, browser=digest(cookie)
        )
        if not runs:
            raise Problem("sender_out.html", 403)
        return await self._stored(message_id)

    async def _stored(self, message_id: str) -> Message:
        try:
            return await self._services.store.message(message_id)
        except NotFound as error:
            raise unknown() from error

    async def _grants(self, message: Message) -> list[Grant]:
        grants: list[Grant] = await self._services.store.call("viewer_grants_of", message_id=message.id)
        return [one for one in grants if one.channel is not Channel.PASSWORD]

    async def _notify(self, message: Message, grant: Grant) -> str:
        """Send the notification again; what is wrong, or ""."""
        services, tokens = self._services, await self._secrets.tokens()
        organisation = services.organisation(message.organisation)
        if organisation is None:
            raise unknown()
        content = self._notices.notification(
            organisation,
            grant.recipient,
            f"{viewer_origin(services.configuration, organisation)}/v/{tokens.link(grant.id)}",
            grant.expires_at,
            services.clock.now(),
            services.random.token_hex(16),
            grant.channel,
        )
        mail = await services.composer.compose(
            organisation=message.organisation,
            recipient=grant.recipient,
            content=content,
            parent=message.id,
            sender=bounce_address(services.configuration, tokens, grant.id),
        )
        try:
            await services.store.commit([mail], [("viewer_notify_again", {"grant_id": grant.id})])
        except LimitReached:
            return "often"
        except Conflict:
            return "ended"
        return ""

    async def _correct(self, message: Message, grant: Grant, written: str) -> str:
        """Give the reader another number; what is wrong with it, or ""."""
        number = _e164(written)
        if number is None or not may_get_code(number, self._services.configuration.sms.countries):
            return "number"
        try:
            key = await asyncio.to_thread(
                self._services.vault.open, message.organisation, message.epoch, message.id, message.wrapped_key
            )
            sealed = key.seal(f"grant:{grant.id}", number.encode())
            await self._services.store.call("viewer_number_correct", grant_id=grant.id, mobile=sealed)
        except (Conflict, KeyDestroyed):
            return "ended"
        corrected = next(one for one in await self._grants(message) if one.id == grant.id)
        await self._notify(message, corrected)  # too soon after the last one: then that one's link still leads here
        _log.info("viewer.number_corrected", grant=grant.id)
        return ""

    async def _page(self, request: Request, message: Message, *, error: str = "", at: str = "") -> Response:
        services, now = self._services, self._services.clock.now()
        events = await services.store.journal(message.id)
        rows = [
            Row(
                grant,
                steps_of(events, (grant.recipient,), grant.expires_at, now),
                grant.ended(now),
            )
            for grant in await self._grants(message)
            if grant.recipient
        ]
        return await self._pages.form(
            request,
            "sender.html",
            status=422 if error else 200,
            forms=(f"/follow/{message.id}", f"/follow/{message.id}/logout"),
            organisation_id=message.organisation,
            path_of_page=f"/follow/{message.id}",
            received_at=message.received_at,
            expires_at=message.expires_at,
            rows=rows,
            error=error,
            at=at,
        )


def _e164(written: str) -> str | None:
    try:
        number = phonenumbers.parse(written, "NL")
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
