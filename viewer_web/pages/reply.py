"""Answering: a form with a text and files, kept as a draft with every post, and sent as a mail to who wrote."""

from __future__ import annotations

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
from viewer_web.multipart import FieldRead, FileBegins, FileBlock, FileEnds, read_multipart
from viewer_web.pages.link import redirect
from viewer_web.problems import Problem, stale_form, unknown
from viewer_web.render import Pages
from viewer_web.reply_mail import content, name_of, reply_to
from viewer_web.security import check_token, form_cookie
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")

#: Of the whole form: the files, the text, and what is around them.
_FORM_LIMIT = FILES_SIZE + 2 * 10**6


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
        cookie = form_cookie(request, self._services)
        fields: dict[str, str] = {}
        files: list[Arriving] = []
        drafts: Drafts | None = None
        ended: Problem | None = None
        try:
            async for event in read_multipart(request, _FORM_LIMIT):
                if drafts is None:
                    # The token comes first: nothing is kept for whoever hasn't one.
                    token = event.value if isinstance(event, FieldRead) and event.name == "token" else ""
                    await check_token(request, self._secrets, cookie, token)
                    session, ended = await self._session(request)
                    grant, opened = session.grant, await self._open(session, cookie)
                    drafts = Drafts(self._services, grant, cookie, opened)
                elif isinstance(event, FieldRead):
                    fields[event.name] = event.value
                elif ended is None:
                    _take(drafts, event, files)
            if drafts is None:
                raise stale_form()
            # A form that outlived its session still brings the text along: it was this browser's session.
            await drafts.keep(fields.get("text", "").replace("\r\n", "\n"))
            if ended is not None:
                return self._pages.page(request, "signed_out.html", grant, status=403, kept=True)
            error = await self._add(drafts, files)
        finally:
            for file in files:
                file.discard()
        return await self._act(request, grant, drafts, opened, fields.get("do", "save"), error)

    async def sent(self, request: Request) -> Response:
        session, _ = await session_of(request, self._services)
        replies: int = await self._services.store.call("viewer_replies", thread=session.grant.thread)
        return self._pages.page(
            request, "sent.html", session.grant, base=f"/g/{session.grant.id}", left=max(0, REPLIES - replies)
        )

    async def _session(self, request: Request) -> tuple[Session, Problem | None]:
        """The session, and what is wrong with it where it has just ended."""
        try:
            session, _ = await session_of(request, self._services)
            return session, None
        except Problem as problem:
            grant: Grant | None = await self._services.store.call("viewer_grant", grant_id=request.path_params["grant"])
            if grant is None or grant.ended(self._services.clock.now()):
                raise
            return Session(grant, 0.0, opened=True), problem

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

    async def _act(
        self, request: Request, grant: Grant, drafts: Drafts, opened: Opened, do: str, error: str
    ) -> Response:
        path = f"/g/{grant.id}/reply"
        if error:
            return await self._page(request, grant, drafts, opened, error=error)
        if do.startswith("remove:"):
            await drafts.remove(do.removeprefix("remove:"))
        elif do == "send":
            return await self._send(request, grant, drafts, opened)
        return redirect(request, path)

    async def _send(self, request: Request, grant: Grant, drafts: Drafts, opened: Opened) -> Response:
        written = await drafts.read()
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
        done = ("viewer_reply", {"grant_id": grant.id, "browser": drafts.browser, "draft_id": written.id})
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
            await session_of(request, services)  # the session has ended, or a second press of the button came behind
        except SmtpError as refused:
            _log.info("viewer.reply_refused", grant=grant.id, reply=refused.reply.code, status=refused.reply.enhanced)
            return await self._page(
                request, grant, drafts, opened, error="refused", refusal=refused.reply.text.splitlines()[0]
            )
        return redirect(request, f"/g/{grant.id}/sent")

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
            return self._pages.page(request, "reply_limit.html", grant, base=f"/g/{grant.id}")
        path = f"/g/{grant.id}/reply"
        return await self._pages.form(
            request,
            "reply.html",
            grant,
            status=422 if error else 200,
            forms=(path,),
            base=f"/g/{grant.id}",
            written=written,
            number=written.replies + 1,
            most=REPLIES,
            to=str(self._sender_of(opened, grant)),
            error=error,
            refusal=refusal,
            most_files=FILES,
            most_size=FILES_SIZE,
            text_limit=TEXT_LIMIT,
        )


def _take(drafts: Drafts, event: FileBegins | FileBlock | FileEnds, files: list[Arriving]) -> None:
    if isinstance(event, FileBegins):
        files.append(drafts.arriving(event.name, event.type))
    elif isinstance(event, FileBlock):
        files[-1].write(event.data)
