"""The message itself: who wrote, when, the body in a frame of its own, and the attachments."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import digest
from relayd.mail.meta import Part
from relayd.store.viewer_codes import SESSION_LIFE
from relayd.store.viewer_drafts import REPLIES, Draft
from relayd.store.viewer_passwords import FORWARDS
from viewer_web.access import open_message, session_of
from viewer_web.language import language_of
from viewer_web.pages.forward import may_pass_on
from viewer_web.pages.preview import may_preview
from viewer_web.pages.reply import may_reply
from viewer_web.passkeys import Passkeys
from viewer_web.reading import Reading, attachment_name, reading, shown_size
from viewer_web.render import Pages
from viewer_web.services import Services

_DAY = 86400.0


class MessagePage:
    """GET /g/GRANT."""

    def __init__(self, services: Services, pages: Pages, passkeys: Passkeys) -> None:
        self._services = services
        self._pages = pages
        self._passkeys = passkeys

    async def show(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        grant = session.grant
        opened = await open_message(self._services, session, cookie)
        await self._journal_opening(request, cookie, receipt=opened.meta.receipt)
        shown = reading(opened.meta.parts)
        base = f"/g/{grant.id}"
        draft: Draft | None = await self._services.store.call("viewer_draft", grant_id=grant.id)
        replies: int = await self._services.store.call("viewer_replies", thread=grant.thread)
        holder = await self._passkeys.holder_of(grant)
        passkey = tuple(f"{base}/passkey{step}" for step in ("", "/add", "/remove")) if holder else ()
        return await self._pages.form(
            request,
            "message.html",
            grant,
            forms=(f"{base}/extend", f"{base}/logout", *passkey),
            base=base,
            subject=opened.headers.text("subject").strip(),
            sender=opened.headers.text("from").strip() or opened.message.sender,
            received_at=opened.message.received_at,
            days_left=max(0, int((grant.expires_at - self._services.clock.now()) / _DAY)),
            attachments=self._attachments(request, shown, grant.language),
            more=any("too-many-parts" in part.defects for part in opened.meta.parts[:1]),
            has_text=bool(shown.html and any(part.type == "text/plain" for part in shown.text)),
            size=opened.message.size,
            makes_pdf=self._services.renderer.makes_pdf,
            may_reply=may_reply(grant),
            may_pass_on=may_pass_on(grant),
            forwards_left=max(0, FORWARDS - grant.forwards),
            replies_left=max(0, REPLIES - replies),
            may_use_passkey=holder is not None,
            has_passkey=holder is not None and bool(await self._passkeys.known(holder)),
            drafted=draft is not None and bool(draft.text or draft.uploads),
            session_hours=int(SESSION_LIFE / 3600),
        )

    async def _journal_opening(self, request: Request, cookie: str, *, receipt: bool) -> None:
        if request.method == "GET":
            await self._services.store.call(
                "viewer_opened",
                grant_id=request.path_params["grant"],
                browser=digest(cookie),
                receipt=receipt,
            )

    def _attachments(self, request: Request, shown: Reading, language: str) -> list[tuple[Part, str, int, bool]]:
        fallback = self._pages.words(language_of(request, language), "attachment")
        return [
            (part, attachment_name(part, fallback), shown_size(part), may_preview(part)) for part in shown.attachments
        ]
