"""Every state in which an outsider can meet the Viewer, each as a way to get there in a real browser.

A scene leaves the page in its state; ``number`` is that of the list in ``NUMBERS``. What a scene needs beyond the page
it does on the store, as other people would: the sender, the gateway, time.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Page

from relayd.delivery.installation import digest
from relayd.errors import KeyUnavailable
from relayd.mail.meta import Reader
from relayd.mail.reply import Reply
from relayd.sms.message import SmsResult
from relayd.store.viewer_drafts import DAILY_SIZE, REPLIES
from relayd.vault.vault import Vault
from tests.kit.viewer import PATIENT, Deposited, Site

NUMBERS: Final = {
    1: "neutral link page",
    2: "code entry",
    3: "wrong code",
    4: "code expired",
    5: "cooldown",
    6: "SMS failed",
    7: "number wrong or missing",
    8: "locked",
    9: "message",
    10: "attachments: none, a look, a look that fails",
    11: "answer: form, problem, sent, limit",
    12: "pass on: form, problem, outside, community, limit",
    13: "withdrawn",
    14: "expired",
    15: "unknown link",
    16: "session: warning, ended, ended with a draft",
    17: "not available",
    18: "reader of what was passed on",
    19: "print view",
    20: "without JavaScript (every scene runs so too)",
    21: "the sender's page",
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090775"
    "3de0000000c49444154789c63f8cfc000000301010"
    "0c9fe92ef0000000049454e44ae426082"
)


@dataclass
class Stage:
    """One browser page on one installation. ``language`` goes into the first address and stays."""

    site: Site
    page: Page
    address: str
    language: str

    async def go(self, path: str) -> None:
        sign = "&" if "?" in path else "?"
        await self.page.goto(f"{self.address}{path}{sign}lang={self.language}")

    async def press(self, selector: str = "main form button") -> None:
        """Press a form's button, and see the page that comes of it whole."""
        async with self.page.expect_event("load"):
            await self.page.click(selector)

    async def deposit(self, **facts: Any) -> Deposited:
        return await self.site.deposit(**{"html": "<h2>Uitslag</h2><p>De uitslag is <b>goed</b>.</p>"} | facts)

    async def link(self, sent: Deposited) -> None:
        await self.go(link_of(sent))

    async def code_page(self, sent: Deposited) -> None:
        await self.link(sent)
        await self.press()
        await self.page.wait_for_url("**/code*")

    async def read(self, sent: Deposited) -> str:
        """Signed in; the grant's path."""
        await self.code_page(sent)
        await self.page.fill("#code", self.site.phone.code)
        await self.press()
        await self.page.wait_for_selector("iframe.body")
        return re.search(r"/g/[0-9a-f]{32}", self.page.url)[0]  # type: ignore[index]


def link_of(sent: Deposited) -> str:
    text = sent.notification.replace(b"=\r\n", b"").decode()
    return text[text.index("/v/") : text.index("/v/") + 46]


Scene = Callable[[Stage], Awaitable[None]]
SCENES: Final[dict[str, tuple[int, Scene]]] = {}


def scene(number: int) -> Callable[[Scene], Scene]:
    """Register a scene under its state's number; its name is the function's."""

    def register(function: Scene) -> Scene:
        SCENES[function.__name__] = (number, function)
        return function

    return register


@scene(1)
async def link(stage: Stage) -> None:
    await stage.link(await stage.deposit())


@scene(1)
async def link_while_signed_in(stage: Stage) -> None:
    sent = await stage.deposit()
    await stage.read(sent)
    await stage.link(sent)


@scene(1)
async def link_with_a_code_by_e_mail(stage: Stage) -> None:
    await stage.link(await stage.deposit(reader=Reader(email=True)))


@scene(1)
async def link_with_an_access_code(stage: Stage) -> None:
    await stage.link(await stage.deposit(mobile="", access_code="Zilveren-Fiets-7"))


@scene(1)
async def about(stage: Stage) -> None:
    await stage.go("/about")


@scene(2)
async def code(stage: Stage) -> None:
    await stage.code_page(await stage.deposit())


@scene(3)
async def wrong_code(stage: Stage) -> None:
    await stage.code_page(await stage.deposit())
    await stage.page.fill("#code", "000000" if stage.site.phone.code != "000000" else "000001")
    await stage.press()


@scene(3)
async def half_a_code(stage: Stage) -> None:
    await stage.code_page(await stage.deposit())
    await stage.page.fill("#code", "123")
    await stage.press()


@scene(4)
async def expired_code(stage: Stage) -> None:
    await stage.code_page(await stage.deposit())
    stage.site.clock.pass_(601)
    await stage.page.reload()


@scene(5)
async def cooldown(stage: Stage) -> None:
    await stage.code_page(await stage.deposit())
    await stage.page.click("details summary")


@scene(6)
async def sms_failed(stage: Stage) -> None:
    stage.site.phone.result = SmsResult.UNREACHABLE
    await stage.code_page(await stage.deposit())
    stage.site.phone.result = SmsResult.ACCEPTED


@scene(6)
async def too_many_codes(stage: Stage) -> None:
    sent = await stage.deposit()
    for _ in range(3):
        await stage.code_page(sent)
        stage.site.clock.pass_(601)
    await stage.link(sent)
    await stage.press()


@scene(7)
async def not_my_number(stage: Stage) -> None:
    await stage.link(await stage.deposit())
    await stage.page.click("details summary")


@scene(7)
async def disputed(stage: Stage) -> None:
    await not_my_number(stage)
    await stage.press("details form button")


@scene(7)
async def number_that_gets_no_sms(stage: Stage) -> None:
    await stage.link(await stage.deposit(mobile="+31201234567"))
    await stage.press()


@scene(8)
async def locked(stage: Stage) -> None:
    sent = await stage.deposit()
    for _ in range(6):
        person = stage.site.person()
        await person.ask(sent)
        for _ in range(5):
            await person.enter("000000" if stage.site.phone.code != "000000" else "000001")
        stage.site.clock.pass_(3601)
    await stage.link(sent)


@scene(9)
async def message(stage: Stage) -> None:
    await stage.read(
        await stage.deposit(
            subject="Uitslag van uw bloedonderzoek",
            attachments=(
                ("Uitslag bloedonderzoek definitieve versie.pdf", "application/pdf", b"%PDF" * 9000),
                ("foto.png", "image/png", PNG),
                ("afspraken.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"x" * 9000),
            ),
        )
    )


@scene(10)
async def no_attachments(stage: Stage) -> None:
    await stage.read(await stage.deposit())


@scene(10)
async def a_look_at_a_picture(stage: Stage) -> None:
    base = await stage.read(await stage.deposit(attachments=(("foto.png", "image/png", PNG),)))
    await stage.go(f"{base}/preview/part-2")


@scene(10)
async def a_look_that_fails(stage: Stage) -> None:
    base = await stage.read(await stage.deposit(attachments=(("kapot.png", "image/png", b"no picture"),)))
    await stage.go(f"{base}/preview/part-2")


@scene(9)
async def body(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/body")


@scene(9)
async def body_as_text(stage: Stage) -> None:
    base = await stage.read(await stage.deposit(text="Beste Piet,\r\n\r\nDe uitslag is goed."))
    await stage.go(f"{base}/body?as=text")


@scene(11)
async def answer(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")


async def _answer(stage: Stage, base: str, text: str = "Dank u wel.") -> None:
    await stage.go(f"{base}/reply")
    await stage.page.fill("#text", text)
    await stage.press("button[value=send]")


@scene(11)
async def answer_with_files(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")
    await stage.page.fill("#text", "Zie de bijlage.")
    file = {"name": "een bestand met een lange naam 2026.pdf", "mimeType": "application/pdf", "buffer": b"%PDF" * 900}
    await stage.page.set_input_files("#file", [file])  # type: ignore[list-item]
    await stage.press("button[value=add]")


@scene(11)
async def empty_answer(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await _answer(stage, base, " ")


@scene(11)
async def refused_answer(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    stage.site.outbox.refusal = Reply(550, "5.7.1", "Attachments of this type aren't accepted: plan.exe")
    await _answer(stage, base)
    stage.site.outbox.refusal = None


@scene(11)
async def answer_in_a_form_from_before(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")
    await stage.press("button[value=save]")
    other = await stage.page.context.new_page()
    await other.goto(stage.page.url)
    await other.fill("#text", "Dank u wel.")
    async with other.expect_event("load"):
        await other.click("button[value=send]")
    await other.close()
    await stage.page.fill("#text", "Nog iets anders.")
    await stage.press("button[value=send]")


@scene(11)
async def answer_too_large(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")
    await stage.page.fill("#text", "Zie de bijlage.")
    with tempfile.NamedTemporaryFile(suffix=".mp4") as film:
        film.truncate(40 * 10**6)
        await stage.page.set_input_files("#file", film.name)
        await stage.press("button[value=send]")


@scene(11)
async def answer_with_too_many_files_for_a_day(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    (cookie,) = [one["value"] for one in await stage.page.context.cookies() if one["name"] == "__Host-vw"]
    used_up = {"grant_id": base.removeprefix("/g/"), "browser": digest(cookie), "size": DAILY_SIZE}
    await stage.site.store.call("viewer_upload_begin", **used_up)
    await stage.go(f"{base}/reply")
    await stage.page.fill("#text", "Zie de bijlage.")
    file = {"name": "brief.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"}
    await stage.page.set_input_files("#file", [file])  # type: ignore[list-item]
    await stage.press("button[value=add]")


@scene(11)
async def draft_offered(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")
    await stage.page.fill("#text", "Half af.")
    await stage.press("button[value=save]")
    await stage.go(base)


@scene(11)
async def answer_sent(stage: Stage) -> None:
    await _answer(stage, await stage.read(await stage.deposit()))


@scene(11)
async def answers_used_up(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    for _ in range(REPLIES):
        await _answer(stage, base)
    await stage.go(f"{base}/reply")


async def _pass_on(stage: Stage, base: str, to: str = "dochter@elders.example") -> None:
    await stage.go(f"{base}/forward")
    await stage.page.fill("#to", to)
    await stage.press("main form button")


@scene(12)
async def pass_on(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/forward")


@scene(12)
async def pass_on_to_nobody(stage: Stage) -> None:
    await _pass_on(stage, await stage.read(await stage.deposit()), "niemand")


@scene(12)
async def passed_on_outside(stage: Stage) -> None:
    await _pass_on(stage, await stage.read(await stage.deposit()))


@scene(12)
async def passed_on_to_a_member(stage: Stage) -> None:
    await _pass_on(stage, await stage.read(await stage.deposit()), "huisarts@praktijk.example")


@scene(12)
async def passed_on_often_enough(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    for _ in range(2):
        await _pass_on(stage, base)
    await stage.go(f"{base}/forward")


@scene(13)
async def withdrawn(stage: Stage) -> None:
    sent = await stage.deposit()
    await stage.site.store.call("viewer_revoke", message_id=sent.message_id, recipient=PATIENT)
    await stage.link(sent)


@scene(14)
async def expired(stage: Stage) -> None:
    sent = await stage.deposit()
    stage.site.clock.pass_(91 * 86400)
    await stage.link(sent)


@scene(15)
async def unknown_link(stage: Stage) -> None:
    await stage.go(f"/v/{'x' * 43}")


@scene(16)
async def session_ended(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    stage.site.clock.pass_(21 * 60)
    await stage.go(base)


@scene(16)
async def session_ended_while_writing(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.go(f"{base}/reply")
    stage.site.clock.pass_(21 * 60)
    await stage.page.fill("#text", "Lang over nagedacht.")
    await stage.press("button[value=send]")


@scene(16)
async def signed_out(stage: Stage) -> None:
    base = await stage.read(await stage.deposit())
    await stage.press(f"form[action*='{base}/logout'] button")


@scene(16)
async def form_out_of_date(stage: Stage) -> None:
    await stage.link(await stage.deposit())
    await stage.page.context.clear_cookies()
    await stage.press()


@scene(17)
async def not_available(stage: Stage) -> None:
    sent = await stage.deposit()
    before = Vault.open
    try:
        Vault.open = _away  # type: ignore[method-assign]
        await stage.link(sent)
    finally:
        Vault.open = before  # type: ignore[method-assign]


def _away(*_: object) -> Any:
    raise KeyUnavailable("the keyring can't be read")


async def _passed_on(stage: Stage) -> tuple[str, str, str]:
    """The link that the second reader gets, and the two words."""
    await passed_on_outside(stage)
    reference, password = await stage.page.locator(".secret").all_inner_texts()
    await stage.page.context.clear_cookies()
    return link_of(Deposited("", b"", stage.site.composer.sent[-1], None)), reference, password


@scene(18)
async def passed_on_link(stage: Stage) -> None:
    link_, _, _ = await _passed_on(stage)
    await stage.go(link_)


@scene(18)
async def passed_on_wrong_password(stage: Stage) -> None:
    link_, reference, _ = await _passed_on(stage)
    await stage.go(link_)
    await stage.page.fill("#reference", reference)
    await stage.page.fill("#password", "AAAA-AAAA-AAAA")
    await stage.press()


@scene(18)
async def passed_on_message(stage: Stage) -> None:
    link_, reference, password = await _passed_on(stage)
    await stage.go(link_)
    await stage.page.fill("#reference", reference)
    await stage.page.fill("#password", password)
    await stage.press()


@scene(18)
async def passed_on_pause(stage: Stage) -> None:
    link_, reference, _ = await _passed_on(stage)
    for _ in range(6):
        await stage.go(link_)
        await stage.page.fill("#reference", reference)
        await stage.page.fill("#password", "AAAA")
        await stage.press()


@scene(19)
async def print_view(stage: Stage) -> None:
    base = await stage.read(await stage.deposit(attachments=(("brief.pdf", "application/pdf", b"%PDF"),)))
    await stage.go(f"{base}/print")


@scene(9)
async def sender_link(stage: Stage) -> None:
    await stage.deposit()
    await stage.go(_sender_link(stage))


@scene(9)
async def sender_page(stage: Stage) -> None:
    sent = await stage.deposit()
    await stage.site.person().read(sent, stage.site.phone)
    await stage.go(_sender_link(stage))
    await stage.press()


def _sender_link(stage: Stage) -> str:
    text = stage.site.composer.sent[-1].replace(b"=\r\n", b"").decode()
    return text[text.index("/s/") : text.index("/s/") + 46]


async def _follow(stage: Stage) -> None:
    confirmation = stage.site.composer.sent[-1].replace(b"=\r\n", b"").decode()
    await stage.go(re.search(r"/s/[\w-]{43}", confirmation)[0])  # type: ignore[index]
    await stage.press()


@scene(21)
async def senders_page(stage: Stage) -> None:
    await stage.deposit()
    await _follow(stage)


@scene(21)
async def senders_page_with_an_access_code(stage: Stage) -> None:
    await stage.deposit(mobile="", access_code="zonnebloem-7")
    await _follow(stage)


@scene(21)
async def senders_page_withdrawn(stage: Stage) -> None:
    await stage.deposit()
    await _follow(stage)
    await stage.press("button[value^=revoke]")


@scene(21)
async def senders_page_left(stage: Stage) -> None:
    await stage.deposit()
    await _follow(stage)
    await stage.press("form[action*='/logout'] button")
