"""Mail scanners open links, and some press buttons: nothing of that may cost the recipient anything."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from relayd.mail.meta import Reader


def tables(site):
    """Every row of the Viewer, but for when a link was last visited."""
    import sqlite3

    path = next(site.folder.rglob("*.db"), None) or next(site.folder.rglob("*.sqlite*"))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        names = ("viewer_code", "viewer_browser", "viewer_session", "viewer_sms")
        rows = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608
        rows["grant"] = db.execute(
            "SELECT id, failures, spent_codes, forwards, revoked_at FROM viewer_grant"
        ).fetchall()
    db.close()
    return rows


async def test_get_and_head_of_everything_change_nothing(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    before, kinds = tables(site), await site.kinds(sent.message_id)
    grant = person.base
    scanner = site.person()
    pages = ("", "/code", "/body", "/resend", "/logout", "/extend", "/message.eml", "/attachment/part-2")
    for _ in range(3):
        for path in (sent.path, "/bye", "/v/x", *(grant + page for page in pages)):
            await scanner.client.get(path)
            await scanner.client.head(path)
    assert tables(site) == before
    assert await site.kinds(sent.message_id) == kinds
    assert len(site.phone.inbox) == 1
    assert (await person.enter(site.phone.code)).status_code == 200


async def test_head_in_a_session_counts_as_nothing(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    await person.press("/code", follow=False, code=site.phone.code)
    base = person.page.headers["location"]
    await person.client.head(base)
    head = await person.client.head(f"{base}/message.eml")
    assert int(head.headers["content-length"]) > 0
    assert head.content == b""
    assert not {"opened", "downloaded"} & set(await site.kinds(sent.message_id))


async def test_a_pressed_button_sends_one_code_and_leaves_it_usable(site):
    sent = await site.deposit()
    scanner, person = site.person(), site.person()
    await scanner.ask(sent)
    await asyncio.gather(*(scanner.client.get(sent.path) for _ in range(3)))
    await scanner.ask(sent)
    await person.ask(sent)
    assert len(site.phone.inbox) == 1
    assert (await person.enter(site.phone.code)).url.path == person.base


async def test_pressing_at_once_sends_one_code(site):
    sent = await site.deposit()
    people = [site.person() for _ in range(5)]
    for person in people:
        await person.get(sent.path)
    await asyncio.gather(*(person.press("/v/", follow=False) for person in people))
    assert len(site.phone.inbox) == 1


async def test_visits_are_journalled_once_an_hour_and_apart_from_reading(site):
    sent = await site.deposit()
    for _ in range(3):
        await site.person().get(sent.path)
    site.clock.pass_(3601)
    await site.person().get(sent.path)
    assert await site.kinds(sent.message_id) == ["notified", "link-visited", "link-visited"]


class Scanner:
    """A mail gateway that opens what it finds, follows links, and presses every button, with a browser's cookies or
    without."""

    def __init__(self, site, *, cookies: bool) -> None:
        self.person = site.person()
        self.cookies = cookies

    async def visit(self, path: str) -> None:
        client = self.person.client
        for method, headers in (
            ("HEAD", {}),
            ("OPTIONS", {}),
            ("GET", {"Sec-Purpose": "prefetch;prerender"}),
            ("GET", {"Purpose": "prefetch"}),
        ):
            await client.request(method, path, headers=headers)
            if not self.cookies:
                client.cookies.clear()
        page = await self.person.get(path)
        for link in re.findall(r'href="(/[^"]+)"', page.text):
            await client.get(link)
        for action, fields in forms_of(page.text):
            filled = {name: value or "0000" for name, value in fields.items()}
            headers = {"Sec-Fetch-Site": "same-origin"}
            answer = await client.post(action, data=filled, headers=headers, follow_redirects=True)
            for onward, more in forms_of(answer.text):
                await client.post(onward, data={n: v or "0000" for n, v in more.items()}, headers=headers)
            await client.post(action, data=filled, headers=headers)
            if not self.cookies:
                client.cookies.clear()


def forms_of(text: str):
    """Each form's address, and its fields with what is in them."""
    for form in re.findall(r"<form .*?</form>", text, re.S):
        action = re.search(r'action="([^"]+)"', form)[1]
        fields = re.findall(r'<input [^>]*?name="([^"]+)"(?:[^>]*?value="([^"]*)")?', form)
        buttons = re.findall(r'<button [^>]*?name="([^"]+)" value="([^"]*)"', form)
        yield action, dict(fields) | dict(buttons[:1])


@pytest.mark.parametrize("cookies", [True, False], ids=["with cookies", "without"])
async def test_a_scanner_that_presses_every_button_fifty_times_costs_nobody_anything(site, cookies):
    sent = await site.deposit()
    scanner = Scanner(site, cookies=cookies)
    for _ in range(50):
        await scanner.visit(sent.path)
    await site.keep_house()
    kinds = await site.kinds(sent.message_id)
    assert len(site.phone.inbox) <= 1
    assert not {"opened", "downloaded", "verified", "locked", "replied", "passed-on"} & set(kinds)
    # What pressing "not my number" costs: the sender hears of it, once.
    assert kinds.count("number-disputed") <= 1
    assert len([one for one in site.composer.sent if b"nummer" in one and b"klopt niet" in one]) <= 1
    # The person comes a little later, and gets in.
    site.clock.pass_(3601)
    person = site.person()
    page = await person.read(sent, site.phone)
    assert "Uitslag bloedonderzoek" in page.text


@pytest.mark.parametrize("channel", ["access code", "e-mail", "sender"])
async def test_nor_at_any_other_kind_of_link(site, channel):
    facts = {
        "access code": {"mobile": "", "access_code": "Zilveren-Fiets-7"},
        "e-mail": {"reader": Reader(email=True)},
    }
    sent = await site.deposit(**facts.get(channel, {}))
    path = sent.path
    if channel == "sender":
        path = re.search(rb"(/s/[\w-]{43})", site.composer.sent[-1].replace(b"=\r\n", b""))[1].decode()
    before = len(site.composer.sent)
    scanner = Scanner(site, cookies=True)
    for _ in range(50 if channel != "sender" else 3):
        await scanner.visit(path)
    kinds = await site.kinds(sent.message_id)
    assert not {"opened", "downloaded", "verified", "replied", "passed-on"} & set(kinds)
    assert len(site.composer.sent) <= before + 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://viewer.example.nl"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_forms_from_elsewhere_are_refused(site, headers):
    sent = await site.deposit()
    person = site.person()
    await person.get(sent.path)
    action, token = person.form("/v/")
    page = await person.client.post(action, data={"token": token}, headers=headers)
    assert page.status_code == 403
    assert site.phone.inbox == []


async def test_a_form_needs_its_own_token_and_the_browsers_cookie(site):
    sent, other = await site.deposit(), await site.deposit()
    person = site.person()
    await person.get(other.path)
    _, foreign = person.form("/v/")
    await person.get(sent.path)
    action, token = person.form("/v/")
    good = {"Sec-Fetch-Site": "same-origin"}
    for data in ({}, {"token": ""}, {"token": foreign}, {"token": "é"}):
        assert (await person.client.post(action, data=data, headers=good)).status_code == 403
    stranger = site.person()
    assert (await stranger.client.post(action, data={"token": token}, headers=good)).status_code == 403
    await stranger.get(sent.path)
    assert (await stranger.client.post(action, data={"token": token}, headers=good)).status_code == 403
    assert site.phone.inbox == []


async def test_old_browsers_say_origin(site):
    sent = await site.deposit()
    person = site.person()
    await person.get(sent.path)
    action, token = person.form("/v/")
    page = await person.client.post(action, data={"token": token}, headers={"Origin": "https://viewer.example.nl"})
    assert page.status_code == 303


@pytest.mark.parametrize("content", [b"a=" * 5000, b"\xff\xfe", b"&".join(b"a=1" for _ in range(50))])
async def test_forms_that_are_no_forms_are_refused(site, content):
    sent = await site.deposit()
    person = site.person()
    await person.get(sent.path)
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", ""):
        headers = httpx.Headers({"Sec-Fetch-Site": "same-origin", "Content-Type": kind})
        page = await person.client.post(sent.path, content=content, headers=headers)
        assert page.status_code in {403, 413}
