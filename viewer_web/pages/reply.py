"""Answering: a form with a text and files, kept as a draft with every post, and sent as a mail to who wrote."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from relayd.delivery.installation import InstallationSecrets
from relayd.delivery.notices import display_name
from relayd.errors import Conflict, LimitReached, SmtpError
from relayd.mail.address import Address, parse_address
from relayd.store.viewer import Session
from relayd.store.viewer_drafts import FILES, FILES_SIZE, REPLIES
from relayd.store.viewer_tables import AddressKind, Channel, Grant
from viewer_web.access import Opened, open_message, session_of
from viewer_web.drafts import TEXT_LIMIT, Arriving, Drafts
from viewer_web.language import language_of
from viewer_web.multipart import FieldRead, FileBegins, FileBlock, FileEnds, TooLarge, read_multipart
from viewer_web.pages.link import redirect
from viewer_web.problems import Problem, stale_form, unknown
from viewer_web.render import Pages
from viewer_web.reply_mail import content, name_of, reply_to
from viewer_web.security import check_token, form_cookie
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")

#: Of the whole form: the files, the text, and what is around them.
_FORM_LIMIT: Final = FILES_SIZE + 2 * 10**6
_FORM: Final = re.compile(r"[0-9a-f]{32}")


def may_reply(grant: Grant) -> bool:
    """Whoever got a message passed on can't: he isn't known to the sender, nor the sender to him."""
    return grant.channel is not Channel.PASSWORD


class ReplyPages:
    """GET and POST /g/GRANT/reply, GET /g/GRANT/sent."""

    def __init__(self, services: Services, secrets: InstallationSecrets, pages: Pages) -> None:
        self._services = services
        self._secrets = secrets
        self._pages = pages

    async def show(self, request: Request) -> Response:
        session, cookie = await session_of(request, self._services)
        opened = await self._open(session, cookie)
        return await self._page(request, session.grant, Drafts(self._services, session.grant, cookie, opened), opened)

    async def submit(self, request: Request) -> Response:
        files: list[Arriving] = []
        try:
            posted = await self._receive(request, files)
            if posted.runs:
                with suppress(Conflict):  # it has ended since, while the form arrived
                    return await self._take_in(request, posted)
            # Nothing is changed any more, but what was written goes back to whoever wrote it.
            return self._pages.page(request, "signed_out.html", posted.grant, status=403, text=posted.text)
        finally:
            for file in files:
                file.discard()  # without effect on those that the draft has now

    async def _receive(self, request: Request, files: list[Arriving]) -> _Posted:
        """The whole form, its files sealed. Raises Problem."""
        cookie = form_cookie(request, self._services)
        posted: _Posted | None = None
        try:
            async for event in read_multipart(request, _FORM_LIMIT):
                if posted is None:
                    # The token comes first: nothing is kept for whoever hasn't one.
                    token = event.value if isinstance(event, FieldRead) and event.name == "token" else ""
                    await check_token(request, self._secrets, cookie, token)
                    session, runs = await self._session(request)
                    opened = await self._open(session, cookie)
                    drafts = Drafts(self._services, session.grant, cookie, opened)
                    posted = _Posted(session.grant, opened, drafts, runs, files)
                elif isinstance(event, FieldRead):
                    posted.fields[event.name] = event.value
                elif posted.runs and not posted.too_many:
                    if not files:
                        await _begin(request, posted)
                    if posted.runs and not posted.too_many:
                        _take(posted.drafts, event, files)
                        await posted.drafts.alive()
        except TooLarge as error:
            if posted is None:
                raise Problem("too_large.html", 413) from error
            posted.too_large = True
        if posted is None:
            raise stale_form()
        return posted

    async def _take_in(self, request: Request, posted: _Posted) -> Response:
        """Keep what came, whatever else becomes of it; then do what the button says. Raises Conflict when the session
        has ended."""
        grant, drafts, text = posted.grant, posted.drafts, posted.text
        earlier = await drafts.keep(posted.form, text)
        if earlier is not None:
            if posted.sends and earlier == text:
                return redirect(request, f"/g/{grant.id}/sent")  # pressed twice, or sent again from the history
            await drafts.keep(self._services.random.token_hex(16), text)  # something else, in a form from before
        if posted.too_large:
            return self._pages.page(
                request, "too_large.html", grant, status=413, kept=bool(text), base=f"/g/{grant.id}"
            )
        if posted.too_many:
            return self._pages.page(
                request, "upload_limit.html", grant, status=429, kept=bool(text), base=f"/g/{grant.id}"
            )
        error = await self._add(drafts, posted.files)
        if earlier is not None and posted.sends:
            error = error or "again"
        return await self._act(request, posted, error)

    async def sent(self, request: Request) -> Response:
        session, _ = await session_of(request, self._services)
        replies: int = await self._services.store.call("viewer_replies", thread=session.grant.thread)
        return self._pages.page(
            request, "sent.html", session.grant, base=f"/g/{session.grant.id}", left=max(0, REPLIES - replies)
        )

    async def _session(self, request: Request) -> tuple[Session, bool]:
        """The session, and whether it still runs. This browser did have one, or it couldn't have had the token."""
        try:
            session, _ = await session_of(request, self._services)
            return session, True
        except Problem:
            grant: Grant | None = await self._services.store.call("viewer_grant", grant_id=request.path_params["grant"])
            if grant is None or grant.ended(self._services.clock.now()):
                raise
            return Session(grant, 0.0, opened=True), False

    async def _open(self, session: Session, cookie: str) -> Opened:
        if not may_reply(session.grant):
            raise unknown()
        return await open_message(self._services, session, cookie)

    @staticmethod
    async def _add(drafts: Drafts, files: list[Arriving]) -> str:
        try:
            for file in files:
                if file.too_large:
                    return "files"
                await drafts.add(file)
        except LimitReached:
            return "files"
        return ""

    async def _act(self, request: Request, posted: _Posted, error: str) -> Response:
        grant, do = posted.grant, posted.do
        if error:
            return await self._page(request, grant, posted.drafts, posted.opened, error=error)
        if do.startswith("remove:"):
            await posted.drafts.remove(do.removeprefix("remove:"))
        elif posted.sends:
            return await self._send(request, posted)
        return redirect(request, f"/g/{grant.id}/reply")

    async def _send(self, request: Request, posted: _Posted) -> Response:
        grant, drafts, opened = posted.grant, posted.drafts, posted.opened
        sent = f"/g/{grant.id}/sent"
        written = await drafts.read()
        if not written.id:
            return redirect(request, sent)  # by a second press of the button, which was faster
        if not written.text.strip() and not written.files:
            return await self._page(request, grant, drafts, opened, error="empty")
        services = self._services
        tokens = await self._secrets.tokens()
        domain = services.configuration.viewer_mail_domain
        organisation = services.organisation(grant.organisation)
        name = name_of(opened.headers, grant.recipient)
        reply = reply_to(
            opened.headers,
            author=Address(tokens.local_part(AddressKind.REPLY, grant.id), domain),
            name=name,
            via=display_name(organisation) if organisation else services.configuration.viewer.service_name,
            to=self._sender_of(opened, grant),
            message_id=services.random.token_hex(16),
            now=services.clock.now(),
        )
        language = language_of(request, grant.language)
        who = name if name == grant.recipient else f"{name} <{grant.recipient}>"
        intro = self._pages.words(language, "Answer of %(who)s, written in the secure reader.") % {"who": who}
        draft = {"form": posted.form, "draft_id": written.id, "version": written.version}
        done = ("viewer_reply", {"grant_id": grant.id, "browser": drafts.browser, **draft})
        try:
            await services.outgoing.submit(
                organisation=grant.organisation,
                sender=Address(tokens.local_part(AddressKind.BOUNCE, grant.id), domain),
                recipient=reply.to,
                content=content(
                    reply, f"{intro}\n\n{written.text}\n", await drafts.bodies(), services.random.token_hex(24)
                ),
                parent=grant.message_id,
                operations=(done,),
            )
        except LimitReached:
            return await self._page(request, grant, drafts, opened)
        except Conflict:
            await session_of(request, services)  # it may have ended
            if (await drafts.read()).id == written.id:
                return await self._page(request, grant, drafts, opened, error="changed")
        except SmtpError as refused:
            _log.info("viewer.reply_refused", grant=grant.id, reply=refused.reply.code, status=refused.reply.enhanced)
            return await self._page(
                request, grant, drafts, opened, error="refused", refusal=refused.reply.text.splitlines()[0]
            )
        return redirect(request, sent)

    def _sender_of(self, opened: Opened, grant: Grant) -> Address:
        """Whom to answer: the author, where he is of the organisation that sent it, else the envelope's sender."""
        organisation = self._services.organisation(grant.organisation)
        authors = opened.headers.addresses("from")
        if len(authors) == 1 and organisation is not None and organisation.may_send_from(authors[0].domain):
            return authors[0]
        if not opened.message.sender:
            raise unknown()
        return parse_address(opened.message.sender)

    async def _page(
        self,
        request: Request,
        grant: Grant,
        drafts: Drafts,
        opened: Opened,
        *,
        error: str = "",
        refusal: str = "",
    ) -> Response:
        written = await drafts.read()
        if written.replies >= REPLIES:
            return self._pages.page(request, "reply_limit.html", grant, base=f"/g/{grant.id}", again=error == "again")
        path = f"/g/{grant.id}/reply"
        return await self._pages.form(
            request,
            "reply.html",
            grant,
            status=422 if error else 200,
            forms=(path,),
            base=f"/g/{grant.id}",
            written=written,
            form=written.id or self._services.random.token_hex(16),
            number=written.replies + 1,
            most=REPLIES,
            to=str(self._sender_of(opened, grant)),
            error=error,
            refusal=refusal,
            most_files=FILES,
            most_size=FILES_SIZE,
            text_limit=TEXT_LIMIT,
        )


@dataclass(slots=True)
class _Posted:
    """What a form brought, and whose it is. ``runs`` says whether the session did when it began to come;
    ``too_large`` that its files were cut off, ``too_many`` that none were taken: the day's share is used up."""

    grant: Grant
    opened: Opened
    drafts: Drafts
    runs: bool
    files: list[Arriving]
    fields: dict[str, str] = field(default_factory=dict)
    too_large: bool = False
    too_many: bool = False

    @property
    def form(self) -> str:
        """The name of the form. Raises Problem where it has none."""
        name = self.fields.get("form", "")
        if not _FORM.fullmatch(name):
            raise stale_form()
        return name

    @property
    def text(self) -> str:
        return self.fields.get("text", "").replace("\r\n", "\n")[:TEXT_LIMIT]

    @property
    def do(self) -> str:
        """The button."""
        return self.fields.get("do", "save")

    @property
    def sends(self) -> bool:
        return self.do == "send"


async def _begin(request: Request, posted: _Posted) -> None:
    """Count the form before its first file is taken. What isn't taken is read to its end all the same, or the browser
    would show no page."""
    announced = request.headers.get("content-length", "")
    try:
        await posted.drafts.begin(int(announced) if announced.isdecimal() else _FORM_LIMIT)
    except LimitReached:
        posted.too_many = True
    except Conflict:
        posted.runs = False


def _take(drafts: Drafts, event: FileBegins | FileBlock | FileEnds, files: list[Arriving]) -> None:
    if isinstance(event, FileBegins):
        files.append(drafts.arriving(event.name, event.type))
    elif isinstance(event, FileBlock):
        files[-1].write(event.data)
