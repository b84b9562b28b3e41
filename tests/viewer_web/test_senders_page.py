"""The sender follows his message: what each reader did, and what can still be done about it."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import SMTP

import pytest

from tests.kit.viewer import DAY, DOCTOR, ORIGIN, PATIENT, Person, Site, open_site

TEXT = "De uitslag is goed."
SAME = {"Sec-Fetch-Site": "same-origin"}
OTHER_MOBILE = "+31687654321"


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


def link_of(site: Site) -> str:
    confirmation = next(one for one in reversed(site.composer.sent) if b"/s/" in one)
    return re.search(rf"{ORIGIN}(/s/[A-Za-z0-9_-]{{43}})".encode(), confirmation.replace(b"=\r\n", b""))[1].decode()


async def follow(site: Site) -> Person:
    person = site.person()
    await person.get(link_of(site))
    page = await person.press("/s/")
    assert page.status_code == 200, page.text
    return person


async def act(person: Person, do: str, **fields: str):
    """Press the button whose value begins so."""
    value = re.search(rf'name="do" value="({do}:[0-9a-z]+)"', person.page.text)[1]
    return await person.press("/follow/", do=value, **fields)


def number_field(person: Person) -> str:
    return re.search(r'name="(number-[0-9a-f]+)"', person.page.text)[1]


async def test_the_confirmation_names_the_readers_and_nothing_of_the_content(site):
    await site.deposit(fields="Message-ID: <orig@zuid.example>\r\n")
    mail = message_from_bytes(site.composer.sent[-1], policy=SMTP)
    assert mail["to"] == DOCTOR
    assert mail["auto-submitted"] == "auto-generated"
    for part in mail.iter_parts():
        text = part.get_content()
        assert PATIENT in text
        assert text.count(ORIGIN) == 1
        assert TEXT not in text
        assert "Uitslag" not in text


async def test_the_page_says_how_far_it_has_come(site):
    sent = await site.deposit()
    page = (await follow(site)).page.text
    assert PATIENT in page
    assert "E-mail met de link verstuurd" in page
    assert "Gelezen" not in page
    reader = site.person()
    await reader.get(sent.path)
    assert "Link bezocht" in (await follow(site)).page.text
    await reader.read(sent, site.phone)
    await reader.get(f"{reader.base}/message.eml")
    page = (await follow(site)).page.text
    assert all(word in page for word in ("Code verstuurd", "Gelezen", "Gedownload"))
    assert TEXT not in page
    assert "Uitslag" not in page


async def test_opening_the_link_changes_nothing_and_the_token_leaves_the_address(site):
    await site.deposit()
    scanner = site.person()
    for _ in range(3):
        assert (await scanner.get(link_of(site))).status_code == 200
    person = await follow(site)
    assert "/s/" not in str(person.page.url)
    stranger = site.person()
    assert (await stranger.get(str(person.page.url.path))).status_code == 403


async def test_withdrawn_is_unreadable_at_once_also_in_an_open_session_and_can_be_undone(site):
    sent = await site.deposit()
    reader = site.person()
    await reader.read(sent, site.phone)
    sender = await follow(site)
    await act(sender, "revoke")
    assert "Ingetrokken" in sender.page.text
    for path in ("", "/body", "/message.eml", "/reply"):
        assert (await reader.get(f"{reader.base}{path}")).status_code == 403
    page = await site.person().get(sent.path)
    assert (page.status_code, "ingetrokken" in page.text) == (410, True)
    await act(sender, "restore")
    assert "Ingetrokken" not in sender.page.text
    site.clock.pass_(61)
    again = site.person()
    await again.read(sent, site.phone)
    assert TEXT in (await again.get(f"{again.base}/body")).text


async def test_another_number_gets_the_codes_from_now_on(site):
    sent = await site.deposit()
    reader = site.person()
    await reader.read(sent, site.phone)
    site.clock.pass_(700)
    sender = await follow(site)
    before = len(site.composer.sent)
    page = await act(sender, "number", **{number_field(sender): "06 8765 4321"})
    assert page.status_code == 200
    assert (await reader.get(reader.base)).status_code == 403
    assert len(site.composer.sent) == before + 1
    again = site.person()
    await again.read(sent, site.phone)
    assert site.phone.inbox[-1].number == OTHER_MOBILE
    assert OTHER_MOBILE not in page.text


@pytest.mark.parametrize("number", ["", "12", "0900 1234", "+1 202 555 0123", "<script>"])
async def test_a_number_that_cant_get_a_code_is_refused(site, number):
    await site.deposit()
    sender = await follow(site)
    page = await act(sender, "number", **{number_field(sender): number})
    assert page.status_code == 422
    assert "mobiel nummer" in page.text


async def test_the_notification_is_sent_again_with_the_same_link_but_not_all_the_time(site):
    sent = await site.deposit()
    sender = await follow(site)
    assert (await act(sender, "again")).status_code == 422
    for _ in range(4):
        site.clock.pass_(660)
        assert (await act(sender, "again")).status_code == 200
        again = site.composer.sent[-1].replace(b"=\r\n", b"").decode()
        assert sent.path in again
    site.clock.pass_(660)
    assert (await act(sender, "again")).status_code == 422


async def test_a_disputed_number_reaches_the_sender_once(site):
    sent = await site.deposit()
    reader = site.person()
    await reader.get(sent.path)
    before = len(site.composer.sent)
    for _ in range(3):
        page = await reader.press("/number")
        assert "De afzender weet het nu" in page.text
        await reader.get(sent.path)
    for _ in range(2):
        await site.keep_house()
    assert len(site.composer.sent) == before + 1
    mail = message_from_bytes(site.composer.sent[-1], policy=SMTP)
    assert mail["to"] == DOCTOR
    assert link_of(site) in mail.get_body(("plain",)).get_content()
    assert site.phone.inbox == []
    assert "nummer niet klopt" in (await follow(site)).page.text


async def test_whoever_asked_for_it_hears_of_the_first_reading_once(site):
    sent = await site.deposit(receipt=True, fields="Message-ID: <orig@zuid.example>\r\n")
    for _ in range(2):
        reader = site.person()
        await reader.read(sent, site.phone)
        site.clock.pass_(61)
        await site.keep_house()
    receipts = [one for one in site.composer.sent if b"disposition-notification" in one]
    assert len(receipts) == 1
    mail = message_from_bytes(receipts[0], policy=SMTP)
    assert mail.get_content_type() == "multipart/report"
    facts = list(mail.iter_parts())[1].as_string()
    assert f"Final-Recipient: rfc822; {PATIENT}" in facts
    assert "Original-Message-ID: <orig@zuid.example>" in facts
    assert "automatic-action/MDN-sent-automatically; displayed" in facts
    assert "receipt-sent" in await site.kinds(sent.message_id)


async def test_nobody_hears_of_it_unasked(site):
    sent = await site.deposit()
    await site.person().read(sent, site.phone)
    await site.keep_house()
    assert not [one for one in site.composer.sent if b"disposition-notification" in one]


async def test_what_isnt_read_is_reminded_of_once_with_the_same_link(site):
    sent = await site.deposit()
    read = await site.deposit(recipient="anders@thuis.example")
    await site.person().read(read, site.phone)
    before = len(site.composer.sent)
    site.clock.pass_(75 * 86400)
    await site.keep_house()
    assert len(site.composer.sent) == before
    site.clock.pass_(2 * 86400)
    for _ in range(2):
        await site.keep_house()
    assert len(site.composer.sent) == before + 1
    mail = site.composer.sent[-1].replace(b"=\r\n", b"").decode()
    assert sent.path in mail
    assert "Herinnering" in mail


async def test_programs_get_no_confirmation(site):
    await site.deposit(automatic=True)
    assert not [one for one in site.composer.sent if b"/s/" in one]


@pytest.mark.parametrize("do", ["revoke:all", "again:0123", "number:0123", "nonsense:all", ""])
async def test_a_form_of_the_senders_counts_only_with_its_token_and_for_his_message(site, do):
    await site.deposit()
    sender = await follow(site)
    path = str(sender.page.url.path)
    answer = await sender.client.post(path, data={"do": do, "token": "x"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    if do != "revoke:all":
        assert (await sender.press("/follow/", do=do)).status_code == 404


async def test_a_sender_sees_his_own_message_only(site):
    await site.deposit()
    first = await follow(site)
    await site.deposit(recipient="anders@thuis.example")
    second = await follow(site)
    assert (await first.get(str(second.page.url.path))).status_code == 403


# His session


async def test_a_sender_signs_out(site):
    await site.deposit()
    sender = await follow(site)
    cookie, path = sender.client.cookies["__Host-vw"], str(sender.page.url.path)
    action, token = sender.form(path)
    page = await sender.press("/logout")
    assert page.url.path == "/bye"
    sender.client.cookies.set("__Host-vw", cookie)
    assert (await sender.get(path)).status_code == 403
    answer = await sender.client.post(action, data={"do": "revoke:all", "token": token}, headers=SAME)
    assert answer.status_code == 403
    assert "revoked" not in await site.kinds(path.rpartition("/")[2])


async def test_whoever_reads_and_sends_in_one_browser_stays_signed_in_and_signs_out_of_all(site):
    await site.deposit()
    theirs = await site.deposit(recipient="anders@thuis.example")
    person = site.person()
    await person.read(theirs, site.phone)
    base = person.base
    await person.get(link_of(site))
    await person.press("/s/")
    following = str(person.page.url.path)
    assert (await person.get(base)).status_code == 200
    await person.read(await site.deposit(), site.phone)
    assert (await person.get(following)).status_code == 200
    cookie = person.client.cookies["__Host-vw"]
    await person.get(base)
    await person.press("/logout")
    person.client.cookies.set("__Host-vw", cookie)
    for path in (base, following):
        assert (await person.get(path)).status_code == 403


async def test_the_link_works_in_another_browser_and_ends_there_by_itself(site):
    await site.deposit()
    one, other = await follow(site), await follow(site)
    await one.press("/logout")
    assert (await other.get(str(other.page.url.path))).status_code == 200


async def test_the_session_doesnt_outlive_the_link(site):
    await site.deposit()
    link = link_of(site)
    site.clock.pass_(90 * DAY - 600)
    sender = await follow(site)
    path = str(sender.page.url.path)
    assert (await sender.get(path)).status_code == 200
    site.clock.pass_(601)
    assert (await sender.get(path)).status_code == 403
    assert (await site.person().get(link)).status_code == 404


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}])
async def test_no_other_site_presses_the_senders_buttons(site, headers):
    await site.deposit()
    sender = site.person()
    await sender.get(link_of(site))
    action, token = sender.form("/s/")
    assert (await sender.client.post(action, data={"token": token}, headers=headers)).status_code == 403
    sender = await follow(site)
    for part, fields in (("/follow/", {"do": "revoke:all"}), ("/logout", {})):
        action, token = sender.form(part)
        assert (await sender.client.post(action, data=fields | {"token": token}, headers=headers)).status_code == 403
    assert (await sender.get(str(sender.page.url.path))).status_code == 200
    assert "Ingetrokken" not in sender.page.text
