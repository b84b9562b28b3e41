"""What people try who aren't the reader, and what breaks around those who are."""

from __future__ import annotations

import asyncio
import re

import pytest
from structlog.testing import capture_logs

from relayd.errors import KeyUnavailable, StoreUnavailable
from tests.kit.viewer import DAY, PATIENT, Deposited

TEXT = "De uitslag is goed."
SAME = {"Sec-Fetch-Site": "same-origin"}


async def reader(site, **facts):
    person = site.person()
    person.deposited = await site.deposit(**facts)
    await person.read(person.deposited, site.phone)
    return person


async def passed_on(site, person, to="dochter@elders.example"):
    """The link that a second reader got, with the two words."""
    await person.get(f"{person.base}/forward")
    form = re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    page = await person.press("/forward", to=to, note="", form=form)
    return Deposited("", b"", site.composer.sent[-1], None), *re.findall(r'<dd class="secret">([^<]+)</dd>', page.text)


async def open_with(site, person, sent, reference, password):
    await person.get(sent.path)
    return await person.press("/open", reference=reference, password=password)


# Guessing


@pytest.mark.parametrize("path", ["/v/{}", "/g/{}", "/g/{}/body", "/g/{}/message.eml", "/g/{}/forward", "/g/{}/reply"])
async def test_guessed_tokens_lead_nowhere_and_all_look_alike(site, path):
    person = site.person()
    pages = [await person.get(path.format(guess)) for guess in ("A" * 43, "0" * 32, "x", "é", "a" * 5000)]
    assert {page.status_code for page in pages} <= {403, 404}
    assert len({page.status_code for page in pages}) == 1
    assert all(TEXT not in page.text for page in pages)


async def test_thirty_guesses_from_many_browsers_open_nothing(site):
    sent = await site.deposit()
    for _ in range(30):
        person = site.person()
        await person.ask(sent)
        if "/code" not in str(person.page.url):
            break
        wrong = f"{(int(site.phone.code) + 1) % 10**6:06d}"
        assert (await person.enter(wrong)).status_code != 200
    assert not {"verified", "opened"} & set(await site.kinds(sent.message_id))
    assert (await site.kinds(sent.message_id)).count("wrong-code") <= 15  # three codes an hour, five tries each


async def test_a_scanner_that_presses_the_button_of_a_password_uses_up_no_try(site):
    sent, reference, password = await passed_on(site, await reader(site))
    scanner, other = site.person(), site.person()
    for _ in range(50):
        await open_with(site, scanner, sent, "", "")
    assert (await open_with(site, other, sent, reference, password)).status_code == 200


async def test_a_lock_by_many_tries_at_once_is_journalled_once(site):
    person = await reader(site)
    sent, reference, _ = await passed_on(site, person)
    other = site.person()
    for _ in range(4):
        await other.get(sent.path)
        action, token = other.form("/open")
        fields = {"token": token, "reference": reference, "password": "AAAA-AAAA-AAAA"}
        await asyncio.gather(*(other.client.post(action, data=fields, headers=SAME) for _ in range(8)))
        site.clock.pass_(15 * 60)
    child = next(e.facts["message"] for e in await site.events(person.deposited.message_id) if e.kind == "passed-on")
    kinds = await site.kinds(child)
    assert (kinds.count("wrong-code"), kinds.count("locked")) == (20, 1)


# One browser, several messages


async def test_several_messages_in_one_browser_each_with_its_password(site):
    first, second = await reader(site, subject="Eerste"), await reader(site, subject="Tweede")
    one, two = await passed_on(site, first), await passed_on(site, second)
    other = site.person()
    assert (await open_with(site, other, *one)).status_code == 200
    base = other.base
    assert (await open_with(site, other, *two)).status_code == 200
    assert "Fwd: Tweede" in other.page.text
    # The cookie has changed, and the first key was sealed for the old one: the page says so, and the way back is open.
    assert (await other.get(base)).status_code == 403
    assert (await open_with(site, other, *one)).status_code == 200
    assert TEXT in (await other.get(f"{base}/body")).text


async def test_a_session_reads_its_own_message_only(site):
    mine, theirs = await reader(site), await reader(site)
    base = mine.base
    for page in ("", "/body", "/message.eml", "/attachment/part-2", "/forward", "/reply", "/print"):
        answer = await mine.get(theirs.base + page)
        assert answer.status_code in {403, 404}
        assert TEXT not in answer.text
    await mine.get(base)
    _, token = mine.form("/logout")
    for action in ("logout", "extend", "forward"):
        page = await mine.client.post(f"{theirs.base}/{action}", data={"token": token}, headers=SAME)
        assert page.status_code == 403


async def test_a_cookie_that_somebody_planted_isnt_the_session(site):
    sent = await site.deposit()
    person, thief = site.person(), site.person()
    planted = "A" * 43
    for one in (person, thief):
        one.client.cookies.set("__Host-vw", planted)
    await person.read(sent, site.phone)
    assert (await thief.get(person.base)).status_code == 403


# Going back, sending again


async def test_signing_out_ends_it_whatever_is_sent_again(site):
    person = await reader(site)
    cookie = person.client.cookies["__Host-vw"]
    await person.get(person.base)
    base, (action, token) = person.base, person.form("/extend")
    await person.press("/logout")
    person.client.cookies.set("__Host-vw", cookie)
    for page in ("", "/body", "/message.eml"):
        assert (await person.get(base + page)).status_code == 403
    assert (await person.client.post(action, data={"token": token}, headers=SAME)).status_code == 403


async def test_withdrawn_while_it_is_read(site):
    person = await reader(site)
    sent, reference, password = await passed_on(site, person)
    other = site.person()
    await open_with(site, other, sent, reference, password)
    child = next(e.facts["message"] for e in await site.events(person.deposited.message_id) if e.kind == "passed-on")
    await site.store.call("viewer_revoke", message_id=person.deposited.message_id, recipient=PATIENT)
    await site.store.call("viewer_revoke", message_id=child, recipient="dochter@elders.example")
    for one in (person, other):
        for page in ("", "/body", "/message.eml", "/forward"):
            assert (await one.get(one.base + page)).status_code in {403, 410}


async def test_expired_while_it_is_read(site):
    sent = await site.deposit()
    site.clock.pass_(90 * DAY - 60)
    person = site.person()
    await person.read(sent, site.phone)
    site.clock.pass_(120)
    for page in ("", "/body", "/message.eml", "/forward"):
        assert (await person.get(person.base + page)).status_code in {403, 410}


@pytest.mark.parametrize("jump", [-DAY, 9 * 3600.0])
async def test_a_clock_that_jumps_gives_nobody_more_than_a_session(site, jump):
    person = await reader(site)
    site.clock.pass_(jump)
    page = await person.get(person.base)
    assert page.status_code == (200 if jump < 0 else 403)


# The web's own tricks


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"])
async def test_other_methods_do_nothing(site, method):
    person = await reader(site)
    before = await site.kinds(person.deposited.message_id)
    for path in (person.deposited.path, person.base, f"{person.base}/body", f"{person.base}/forward"):
        page = await person.client.request(method, path, headers=SAME)
        assert page.status_code in {404, 405}
        assert TEXT not in page.text
        assert "__Host-vw" not in page.text
    assert await site.kinds(person.deposited.message_id) == before


TRICKS = (
    "//v/x /v//x /g/..;/x /g/%2e%2e/x /static/../app.py /static/%2e%2e/app.py /static/..%2fapp.py /static//etc/passwd "
    "/v/x%00 /g/x%2fbody /%c0%ae%c0%ae/ /v/x?lang=%0d%0aSet-Cookie:a=b"
)


@pytest.mark.parametrize("path", [*TRICKS.split(), "/v/" + "/" * 3000])
async def test_tricks_with_paths_find_nothing(site, path):
    page = await site.person().client.get(path)
    assert page.status_code in {400, 403, 404}
    assert "import" not in page.text
    assert "root:" not in page.text


@pytest.mark.parametrize(
    "lang", ["%0d%0aSet-Cookie:%20a=b", "https://evil.example", "//evil.example", "nl%22%3E%3Cb%3E"]
)
async def test_the_language_in_the_address_breaks_out_of_nothing(site, lang):
    sent = await site.deposit()
    person = site.person()
    await person.get(f"{sent.path}?lang={lang}")
    action, token = person.form("/v/")
    page = await person.client.post(f"{action.split('?')[0]}?lang={lang}", data={"token": token}, headers=SAME)
    assert re.fullmatch(r"/g/[0-9a-f]{32}/code(\?lang=(nl|en))?", page.headers["location"])
    assert "evil" not in person.page.text
    assert "<b>" not in person.page.text


async def test_no_header_of_the_request_comes_back_in_a_page(site):
    sent = await site.deposit()
    for name in ("X-Forwarded-Host", "Forwarded", "Referer", "X-Original-URL", "Accept-Language", "X-Rewrite-URL"):
        page = await site.person(**{name: "evil.example"}).get(sent.path)
        assert "evil.example" not in page.text + str(page.headers)


async def test_huge_cookies_and_fields_are_no_defect(site):
    sent = await site.deposit()
    with capture_logs() as logs:
        for headers in (
            {"Cookie": "__Host-vw=" + "a" * 60000},
            {"Cookie": ";" * 20000},
            {"Accept-Language": "x," * 9999},
        ):
            assert (await site.person(**headers).get(sent.path)).status_code == 200
    assert "viewer.defect" not in str(logs)


@pytest.mark.parametrize("error", [StoreUnavailable("disk"), KeyUnavailable("keyring"), RuntimeError(TEXT)])
@pytest.mark.parametrize("page", ["", "/body", "/message.eml", "/forward", "/reply", "/print", "/attachment/part-2"])
async def test_trouble_behind_any_page_is_a_clear_page(site, error, page):
    person = await reader(site, attachments=(("a.pdf", "application/pdf", b"%PDF"),))

    async def fail(name, **arguments):
        raise error

    site.store.call = fail
    with capture_logs() as logs:
        answer = await person.get(person.base + page)
    assert answer.status_code in {500, 503}
    assert "Nu niet beschikbaar" in answer.text
    assert TEXT not in answer.text + str(logs)
    assert "Traceback" not in answer.text


# Words that people type


async def test_a_long_note_in_any_script_goes_along(site):
    person = await reader(site)
    note = "é" * 1990 + " einde"
    await person.get(f"{person.base}/forward")
    form = re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    page = await person.press("/forward", to="dochter@elders.example", note=note, form=form)
    assert page.status_code == 200
    _, password = re.findall(r'<dd class="secret">([^<]+)</dd>', page.text)
    assert password


async def test_a_subject_that_holds_lines_breaks_no_header_of_what_is_passed_on(site):
    subject = "=?utf-8?q?a=0D=0ABcc:_evil@evil.example=00=0B?="
    sent, reference, password = await passed_on(site, await reader(site, subject=subject))
    other = site.person()
    await open_with(site, other, sent, reference, password)
    source = (await other.get(f"{other.base}/message.eml")).content
    assert b"\r\nBcc:" not in source.partition(b"\r\n\r\n")[0]
