"""Passing a message on: to a member of the community as mail, to anyone else as a message of his own in the Viewer.

Of the latter the key is wrapped under a password too, which is shown once to whoever passes it on, and kept nowhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
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
from relayd.store.viewer import Session
from relayd.store.viewer_passwords import FORWARDS
from relayd.store.viewer_tables import AddressKind, Channel, Grant
from relayd.vault.meta import seal_meta
from viewer_web.access import Opened, open_message, session_of
from viewer_web.forward_mail import Forward, content
from viewer_web.language import language_of
from viewer_web.pages.link import redirect
from viewer_web.passwords import new_password, plain, reference_of
from viewer_web.problems import gone, unknown
from viewer_web.render import Pages
from viewer_web.reply_mail import name_of
from viewer_web.security import checked_form
from viewer_web.services import Services

_NOTE_LIMIT: Final = 2000
_FORM: Final = re.compile(r"[0-9a-f]{32}")


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
        if grant.forwards >= FORWARDS:
            return await self._page(request, grant)  # before a body is sealed for nothing; the transaction decides
        opened = await open_message(self._services, session, cookie)
        note = fields.get("note", "").replace("\r\n", "\n").strip()[:_NOTE_LIMIT]
        try:
            if to.domain in self._services.directory().domainbook:
                return await self._to_member(request, session, cookie, opened, to, note, form)
            return await self._to_outsider(request, session, cookie, opened, to, note, form)
        except LimitReached:
            return await self._page(request, grant)
        except Conflict:
            await session_of(request, self._services)  # it may have ended; else the form came a second time
            return redirect(request, f"/g/{grant.id}/forward?again=1")
        except SmtpError as refused:
            return await self._page(
                request, grant, error="refused", fields=fields, refusal=refused.reply.text.splitlines()[0]
            )

    async def _to_member(
        self, request: Request, session: Session, cookie: str, opened: Opened, to: Address, note: str, form: str
    ) -> Response:
        forward = self._forward(session.grant, opened, to)
        tokens = await self._secrets.tokens()
        await self._services.outgoing.submit(
            organisation=session.grant.organisation,
            sender=Address(tokens.local_part(AddressKind.BOUNCE, session.grant.id), forward.author.domain),
            recipient=to,
            content=content(forward, opened, self._words(request, session.grant, opened, note), self._boundary()),
            parent=session.grant.message_id,
            operations=(self._counted(session, cookie, form, {"to": "community"}),),
        )
        return self._pages.page(
            request, "passed_on.html", session.grant, base=f"/g/{session.grant.id}", to=str(to), password=""
        )

    async def _to_outsider(
        self, request: Request, session: Session, cookie: str, opened: Opened, to: Address, note: str, form: str
    ) -> Response:
        services, grant = self._services, session.grant
        password = new_password(services.random)
        message, operation = await self._sealed(request, grant, opened, to, note, password)
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
        counted = self._counted(session, cookie, form, {"to": "outside", "message": message.id})
        await services.store.commit([message, notification], [counted, ("viewer_grant_create", operation)])
        return self._pages.page(
            request,
            "passed_on.html",
            grant,
            base=f"/g/{grant.id}",
            to=str(to),
            password=password,
            reference=reference_of(identity),
        )

    async def _sealed(
        self, request: Request, grant: Grant, opened: Opened, to: Address, note: str, password: str
    ) -> tuple[NewMessage, dict[str, Any]]:
        """The message as it is stored, and the arguments of its grant. It ends with the original."""
        services, now = self._services, self._services.clock.now()
        identity, original = new_id(services.clock), opened.message
        key = await asyncio.to_thread(
            services.vault.protect, original.organisation, original.epoch, identity, plain(password)
        )
        receiving, scanner = services.blobs.receive(key), MimeScanner()
        forward = self._forward(grant, opened, to)
        try:
            async for block in content(forward, opened, self._words(request, grant, opened, note), self._boundary()):
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

    def _counted(self, session: Session, cookie: str, form: str, facts: dict[str, str]) -> tuple[str, dict[str, Any]]:
        return "viewer_pass_on", {
            "grant_id": session.grant.id,
            "browser": digest(cookie),
            "form": form,
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
