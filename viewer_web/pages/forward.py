"""Passing a message on: to a member of the community as mail, to anyone else as a message of his own in the Viewer.

Of the latter the key is wrapped under a password too, which is shown once to whoever passes it on, and kept nowhere.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.delivery.notices import Notices, display_name
from relayd.delivery.origins import viewer_origin
from relayd.delivery.viewer import bounce_address, grant_arguments, grant_identity
from relayd.errors import Conflict, LimitReached, SmtpError, SyntaxInvalid
from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.mail.address import Address, parse_address
from relayd.mail.headers import Headers
from relayd.mail.meta import MessageMeta, Reader
from relayd.mail.mime import MimeScanner
from relayd.store.ids import new_id
from relayd.store.records import NewDelivery, NewMessage, State
from relayd.store.viewer_passwords import FORWARDS, PassedOn
from relayd.store.viewer_tables import AddressKind, Channel, Grant
from relayd.vault.meta import seal_meta
from viewer_web.access import Opened, open_message, session_of
from viewer_web.forward_mail import Forward, content
from viewer_web.language import language_of
from viewer_web.pages.link import redirect
from viewer_web.passwords import password_of, plain, reference_of
from viewer_web.problems import gone, unknown
from viewer_web.render import Pages
from viewer_web.reply_mail import name_of
from viewer_web.security import checked_form
from viewer_web.services import Services

_NOTE_LIMIT: Final = 2000
_FORM: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a form asks for, and the cookie of the browser that sent it."""

    browser: str
    form: str
    to: Address
    note: str

    @property
    def password(self) -> str:
        return password_of(self.browser, self.form)

    @property
    def proof(self) -> bytes:
        """By which the same form with the same words is known again, and nobody else knows the words."""
        words = f"passed on {self.form} {self.to.key} {self.note}"
        return hmac.digest(self.browser.encode(), words.encode(), "sha256")


def may_pass_on(grant: Grant) -> bool:
    """What was passed on once isn't passed on again: the sender could no longer follow whom it reached."""
    return grant.channel is not Channel.PASSWORD


class ForwardPages:
    """GET and POST /g/GRANT/forward."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages
        self._notices = Notices(services.configuration)

    async def show(self, request: Request) -> Response:
        session, _ = await session_of(request, self._services)
        if not may_pass_on(session.grant):
            raise unknown()
        return await self._page(request, session.grant)

    async def submit(self, request: Request) -> Response:
        cookie, fields = await checked_form(request, self._services, self._secrets)
        session, _ = await session_of(request, self._services)
        grant = session.grant
        form = fields.get("form", "")
        if not may_pass_on(grant) or not _FORM.fullmatch(form):
            raise unknown()
        to, error = self._recipient(fields.get("to", ""), grant)
        if to is None:
            return await self._page(request, grant, error=error, fields=fields)
        wish = _Wish(cookie, form, to, fields.get("note", "").replace("\r\n", "\n").strip()[:_NOTE_LIMIT])
        if (earlier := await self._earlier(grant, wish)) is not None:
            return self._again(request, grant, wish, earlier)
        if grant.forwards >= FORWARDS:
            return await self._page(request, grant)  # before a body is sealed for nothing; the transaction decides
        opened = await open_message(self._services, session, cookie)
        try:
            if to.domain in self._services.directory().domainbook:
                return await self._to_member(request, grant, opened, wish)
            return await self._to_outsider(request, grant, opened, wish)
        except LimitReached:
            return await self._page(request, grant)
        except Conflict:
            await session_of(request, self._services)  # it may have ended; else the form came twice at once
            return self._again(request, grant, wish, await self._earlier(grant, wish))
        except SmtpError as refused:
            return await self._page(
                request, grant, error="refused", fields=fields, refusal=refused.reply.text.splitlines()[0]
            )

    async def _earlier(self, grant: Grant, wish: _Wish) -> PassedOn | None:
        """What came of this form before."""
        earlier: PassedOn | None = await self._services.store.call(
            "viewer_passed_on", grant_id=grant.id, form=wish.form
        )
        return earlier

    def _again(self, request: Request, grant: Grant, wish: _Wish, earlier: PassedOn | None) -> Response:
        """The page that the first time had, for its answer may have got lost; unless this form says something else
        now."""
        if earlier is not None and hmac.compare_digest(earlier.proof, wish.proof):
            return self._done(request, grant, wish, earlier.copy)
        return redirect(request, f"/g/{grant.id}/forward?again=1")

    def _done(self, request: Request, grant: Grant, wish: _Wish, copy: str) -> Response:
        """It was passed on; ``copy`` is the id of an outsider's message."""
        return self._pages.page(
            request,
            "passed_on.html",
            grant,
            base=f"/g/{grant.id}",
            to=str(wish.to),
            password=wish.password if copy else "",
            reference=reference_of(grant_identity(copy, 0)) if copy else "",
        )

    async def _to_member(self, request: Request, grant: Grant, opened: Opened, wish: _Wish) -> Response:
        forward = self._forward(grant, opened, wish.to)
        tokens = await self._secrets.tokens()
        await self._services.outgoing.submit(
            organisation=grant.organisation,
            sender=Address(tokens.local_part(AddressKind.FORWARD, grant.id), forward.author.domain),
            recipient=wish.to,
            content=content(forward, opened, self._words(request, grant, opened, wish.note), self._boundary()),
            parent=grant.message_id,
            operations=(self._counted(grant, wish, {"to": "community"}),),
        )
        return self._done(request, grant, wish, "")

    async def _to_outsider(self, request: Request, grant: Grant, opened: Opened, wish: _Wish) -> Response:
        services, to = self._services, wish.to
        message, operation = await self._sealed(request, grant, opened, wish)
        organisation = services.organisation(grant.organisation)
        if organisation is None:
            raise gone(grant)
        tokens = await self._secrets.tokens()
        identity = operation["grant_id"]
        link = f"{viewer_origin(services.configuration, organisation)}/v/{tokens.link(identity)}"
        notice = self._notices.passed_on(
            organisation,
            grant.recipient,
            str(to),
            link,
            message.expires_at,
            services.clock.now(),
            services.random.token_hex(16),
        )
        notification = await services.composer.compose(
            organisation=grant.organisation,
            recipient=str(to),
            content=notice,
            parent=message.id,
            sender=bounce_address(services.configuration, tokens, identity),
        )
        counted = self._counted(grant, wish, {"to": "outside", "message": message.id})
        await services.store.commit([message, notification], [counted, ("viewer_grant_create", operation)])
        return self._done(request, grant, wish, message.id)

    async def _sealed(
        self, request: Request, grant: Grant, opened: Opened, wish: _Wish
    ) -> tuple[NewMessage, dict[str, Any]]:
        """The message as it is stored, and the arguments of its grant. It ends with the original."""
        services, now, to = self._services, self._services.clock.now(), wish.to
        identity, original = new_id(services.clock), opened.message
        key = await asyncio.to_thread(
            services.vault.protect, original.organisation, original.epoch, identity, plain(wish.password)
        )
        receiving, scanner = services.blobs.receive(key), MimeScanner()
        forward = self._forward(grant, opened, to)
        try:
            async for block in content(
                forward, opened, self._words(request, grant, opened, wish.note), self._boundary()
            ):
                receiving.write(block)
                scanner.feed(block)
            stored = receiving.finish()
            ref = await services.blobs.make_durable(stored)
        finally:
            receiving.discard()  # without effect once it is durable
        headers = Headers(stored.head)
        meta = MessageMeta(
            head_length=len(stored.head),
            parts=scanner.finish(),
            subject=headers.text("subject"),
            header_from=headers.text("from"),
        )
        message = NewMessage(
            id=identity,
            organisation=original.organisation,
            epoch=original.epoch,
            received_at=now,
            expires_at=min(original.expires_at, grant.expires_at),
            sender=grant.recipient,  # who hears that it can't be notified of, or is locked
            size=stored.size,
            origin="internal",
            wrapped_key=key.wrapped,
            body=ref,
            meta=seal_meta(key, meta),
            smtputf8=not str(to).isascii(),
            body_type="8BITMIME",
            parent=original.id,
            deliveries=(
                NewDelivery(number=0, recipient=str(to), domain=to.domain, state=State.DELIVERED, route="viewer"),
            ),
            events=(Event(now, kinds.CREATED, facts={"parent": original.id}),),
        )
        operation = await grant_arguments(
            message,
            key,
            await self._secrets.tokens(),
            grant_id=grant_identity(identity, 0),
            recipient=str(to),
            copy=0,
            language=language_of(request, grant.language),
            channel=Channel.PASSWORD,
            reader=Reader(),
        )
        return message, operation

    def _counted(self, grant: Grant, wish: _Wish, facts: dict[str, str]) -> tuple[str, dict[str, Any]]:
        return "viewer_pass_on", {
            "grant_id": grant.id,
            "browser": digest(wish.browser),
            "form": wish.form,
            "proof": wish.proof,
            "facts": facts,
        }

    def _recipient(self, text: str, grant: Grant) -> tuple[Address | None, str]:
        """Whom it goes to, or what is wrong with what was written."""
        try:
            to = parse_address(text.strip())
        except SyntaxInvalid:
            return None, "address"
        if to.domain.startswith("[") or "." not in to.domain or self._services.directory().is_the_viewers(to.domain):
            return None, "address"
        return (None, "own") if to.key == parse_address(grant.recipient).key else (to, "")

    def _forward(self, grant: Grant, opened: Opened, to: Address) -> Forward:
        services = self._services
        organisation = services.organisation(grant.organisation)
        return Forward(
            author=Address("viewer", services.configuration.viewer_mail_domain),
            name=name_of(opened.headers, grant.recipient),
            via=display_name(organisation) if organisation else services.configuration.viewer.service_name,
            reader=grant.recipient,
            to=to,
            subject="Fwd: " + " ".join(opened.headers.text("subject").split()),
            message_id=services.random.token_hex(16),
            now=services.clock.now(),
        )

    def _words(self, request: Request, grant: Grant, opened: Opened, note: str) -> str:
        language = language_of(request, grant.language)
        facts = {
            "who": grant.recipient,
            "author": " ".join(opened.headers.text("from").split()) or opened.message.sender,
            "date": self._pages.format(language).moment(opened.message.received_at),
        }
        said = self._pages.words(language, "%(who)s passes on a message of %(author)s of %(date)s.") % facts
        return f"{said}\n\n{note}\n" if note else f"{said}\n"

    def _boundary(self) -> str:
        return self._services.random.token_hex(24)

    async def _page(
        self,
        request: Request,
        grant: Grant,
        *,
        error: str = "",
        fields: Mapping[str, str] | None = None,
        refusal: str = "",
    ) -> Response:
        base = f"/g/{grant.id}"
        fresh: Grant | None = await self._services.store.call("viewer_grant", grant_id=grant.id)
        done = fresh.forwards if fresh is not None else FORWARDS
        if done >= FORWARDS:
            return self._pages.page(request, "forward_limit.html", grant, base=base)
        return await self._pages.form(
            request,
            "forward.html",
            grant,
            status=422 if error else 200,
            forms=(f"{base}/forward",),
            base=base,
            form=self._services.random.token_hex(16),
            number=done + 1,
            most=FORWARDS,
            again="again" in request.query_params,
            error=error,
            refusal=refusal,
            to=(fields or {}).get("to", "")[:320],
            note=(fields or {}).get("note", "")[:_NOTE_LIMIT],
            note_limit=_NOTE_LIMIT,
        )
