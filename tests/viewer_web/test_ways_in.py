"""Other ways in than a code by SMS, the organisation's look, and what slows down whoever guesses."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import SMTP

import pytest

from relayd.mail.meta import Reader
from relayd.store.verify import Verifier
from tests.kit.viewer import PATIENT, Person, Site, open_site

ACCESS_CODE = "Zilveren-Fiets-7"
TEXT = "De uitslag is goed."
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


def mailed_code(site: Site) -> str:
    mail = message_from_bytes(site.composer.sent[-1], policy=SMTP)
    assert mail["to"] == PATIENT
    text = mail.get_body(("plain",)).get_content()
    assert "http" not in text
    return re.search(r"\b(\d{6})\b", text)[1]


async def enter(person: Person, word: str):
    return await person.press("/open", password=word)


async def test_the_senders_access_code_opens_the_message_without_any_sms(site):
    sent = await site.deposit(mobile="", access_code=ACCESS_CODE)
    person = site.person()
    page = await person.get(sent.path)
    assert "toegangscode" in page.text
    assert (await enter(person, "Zilveren-Fiets-8")).status_code == 422
    await person.get(sent.path)
    assert (await enter(person, f" {ACCESS_CODE} ")).status_code == 200
    assert TEXT in (await person.get(f"{person.base}/body")).text
    assert site.phone.inbox == []
    verified = next(event for event in await site.events(sent.message_id) if event.kind == "verified")
    assert verified.facts == {"channel": "access_code"}


async def test_an_access_code_is_nowhere_to_be_read(site):
    await site.deposit(mobile="", access_code=ACCESS_CODE)
    octets = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    assert ACCESS_CODE.encode() not in octets
    assert b"argon2id" not in octets


async def test_a_locked_access_code_is_unlocked_by_the_senders_side(site):
    sent = await site.deposit(mobile="", access_code=ACCESS_CODE)
    person = site.person()
    for _ in range(4):
        for _ in range(5):
            await person.get(sent.path)
            await enter(person, "verkeerd")
        site.clock.pass_(900)
    assert (await person.get(sent.path)).status_code == 403
    await site.keep_house()
    assert b"geblokkeerd" in site.composer.sent[-1]
    assert await site.store.call("viewer_unlock", message_id=sent.message_id, recipient=PATIENT) == 1
    await person.get(sent.path)
    assert (await enter(person, ACCESS_CODE)).status_code == 200


async def test_a_code_by_e_mail_goes_to_the_mailbox_of_the_link_and_the_journal_says_so(site):
    sent = await site.deposit(reader=Reader(email=True))
    person = site.person()
    page = await person.get(sent.path)
    assert f"per e-mail naar {PATIENT}" in page.text
    await person.press("/v/")
    code = mailed_code(site)
    assert code not in person.page.text
    assert (await enter_code(person, code)).status_code == 200
    facts = {event.kind: event.facts for event in await site.events(sent.message_id)}
    assert facts["code-sent"] == {"channel": "email", "result": "accepted"}
    assert facts["verified"] == {"channel": "email"}
    assert site.phone.inbox == []


async def enter_code(person: Person, code: str):
    return await person.press("/code", code=code)


async def test_codes_by_e_mail_have_the_same_limits(site):
    sent = await site.deposit(reader=Reader(email=True))
    person = site.person()
    before = len(site.composer.sent)
    for _ in range(4):
        await person.get(sent.path)
        await person.press("/v/")
    assert len(site.composer.sent) == before + 1


async def test_an_organisations_colour_and_logo_are_on_its_pages(site, tmp_path):
    logo = tmp_path / "logo.png"
    logo.write_bytes(PNG)
    site = site.with_settings(colour="#7a1f5c", logo=logo)
    sent = await site.deposit()
    person = site.person()
    page = await person.get(sent.path)
    style = re.search(r'href="(/look/zuid\.css[^"]*)"', page.text)[1]
    assert "#7a1f5c" in (await person.get(style)).text
    picture = await person.get("/look/zuid/logo")
    assert picture.content == PNG
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["content-security-policy"].startswith("sandbox")
    mail = message_from_bytes(sent.notification, policy=SMTP)
    html = mail.get_body(("html",)).get_content()
    assert "#7a1f5c" in html
    assert 'src="cid:logo"' in html
    assert any(part.get_content_type() == "image/png" for part in mail.walk())


@pytest.mark.parametrize("path", ["/look/zuid.css", "/look/zuid/logo", "/look/nobody.css", "/look/nobody/logo"])
async def test_without_a_look_there_is_none(site, path):
    assert (await site.person().get(path)).status_code == 404


async def test_an_organisations_own_host_is_in_its_links_and_codes(site):
    site = site.with_settings(viewer_url="https://veilig.zuid.example")
    await site.deposit()
    notification = site.composer.sent[-2].replace(b"=\r\n", b"").decode()
    assert "https://veilig.zuid.example/v/" in notification
    assert "viewer.example.nl" not in notification
    path = re.search(r"https://veilig\.zuid\.example(/v/[\w-]{43})", notification)[1]
    person = site.person()
    person.client.base_url = "https://veilig.zuid.example"
    await person.get(path)
    action, token = person.form("/v/")
    answer = await person.client.post(action, data={"token": token}, headers={"Origin": "https://veilig.zuid.example"})
    assert answer.status_code == 303
    assert site.phone.inbox[-1].text.endswith(f"@veilig.zuid.example #{site.phone.code}")
    for origin in ("https://evil.example", "null", ""):
        answer = await person.client.post(action, data={"token": token}, headers={"Origin": origin})
        assert answer.status_code == 403


async def test_whoever_guesses_links_is_slowed_down_and_nobody_else(site):
    sent = await site.deposit()
    guesser = site.person()
    answers = [(await guesser.get(f"/v/{number:043}")).status_code for number in range(70)]
    assert answers[:60] == [404] * 60
    assert answers[60:] == [429] * 10
    assert (await site.person().get(sent.path)).status_code == 200
    site.clock.pass_(601)
    assert (await guesser.get(f"/v/{'x' * 43}")).status_code == 404


async def test_the_page_about_us_says_how_to_tell(site):
    page = await site.person().get("/about")
    assert page.status_code == 200
    assert "viewer.example.nl" in page.text


async def test_all_of_it_keeps_the_stores_invariants(site):
    await site.deposit(mobile="", access_code=ACCESS_CODE)
    import sqlite3

    db = sqlite3.connect(f"file:{next(site.folder.rglob('*.db'))}?mode=ro", uri=True, isolation_level=None)
    assert list(Verifier(site.folder, site.blobs, site.vault.epochs, site.vault, site.clock).run(db, deep=True)) == []
    db.close()
