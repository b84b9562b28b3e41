"""A reader passes the message on: to a member's mailbox, or to an outsider who opens it with a reference and a
password."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from email import message_from_bytes
from email.policy import SMTP

import pytest

from relayd.delivery.installation import digest
from relayd.directory.directory import Delivers, DomainEntry
from relayd.errors import PasswordNeeded
from relayd.mail.address import Domain
from relayd.mail.reply import Reply
from relayd.store.verify import Verifier
from relayd.vault.keyring import Keyring
from tests.kit.viewer import DOCTOR, PATIENT, Deposited, Person, Site, open_site
from viewer_web.app import create_app
from viewer_web.housekeeping import House

TEXT = "De uitslag is goed."
DAUGHTER = "dochter@elders.example"
MEMBER = "huisarts@praktijk.example"


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        directory = dataclasses.replace(
            site.services.directory(),
            domainbook={Domain("praktijk.example"): DomainEntry(Domain("praktijk.example"), Delivers.RELAY)},
        )
        services = dataclasses.replace(site.services, directory=lambda: directory)
        yield dataclasses.replace(site, services=services, app=create_app(services))


async def reader(site: Site, **facts) -> Person:
    person = site.person()
    person.deposited = await site.deposit(**facts)
    await person.read(person.deposited, site.phone)
    return person


async def pass_on(person: Person, to: str = DAUGHTER, note: str = "Lees dit even.", *, follow: bool = True):
    await person.get(f"{person.base}/forward")
    if "/forward" not in person.page.text or 'name="to"' not in person.page.text:
        return person.page
    form = re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    return await person.press("/forward", to=to, note=note, form=form, follow=follow)


def passed(site: Site, page) -> tuple[Deposited, str, str]:
    """What the second reader got, and the two words."""
    words = re.findall(r'<dd class="secret">([^<]+)</dd>', page.text)
    return Deposited("", b"", site.composer.sent[-1], None), *words


async def enter(person: Person, reference: str, password: str):
    return await person.press("/open", reference=reference, password=password)


async def test_an_outsider_opens_it_with_reference_and_password(site):
    person = await reader(site, attachments=(("brief.pdf", "application/pdf", b"%PDF" * 90_000),))
    page = await pass_on(person)
    sent, reference, password = passed(site, page)
    assert TEXT not in sent.notification.decode()
    assert password.encode() not in sent.notification
    other = site.person()
    page = await other.get(sent.path)
    assert TEXT not in page.text
    assert "sms" not in page.text.lower()
    page = await enter(other, reference.lower(), f" {password.lower()} ")
    assert page.status_code == 200, page.text
    assert "Fwd: Uitslag bloedonderzoek" in page.text
    body = (await other.get(f"{other.base}/body")).text
    assert TEXT in body
    assert "Lees dit even." in body
    assert PATIENT in body
    name = re.search(r'href="([^"]+/attachment/[^"]+)"', page.text)[1]
    assert (await other.get(name)).content == b"%PDF" * 90_000


async def test_the_operator_cant_open_it(site, tmp_path):
    person = await reader(site)
    await pass_on(person)
    message = next(e.facts["message"] for e in await site.events(person.deposited.message_id) if e.kind == "passed-on")
    stored = await site.store.message(message)
    with pytest.raises(PasswordNeeded):
        site.vault.open(stored.organisation, stored.epoch, stored.id, stored.wrapped_key)
    keyring = Keyring.load(tmp_path / "keys")
    assert keyring is not None
    import sqlite3

    db = sqlite3.connect(f"file:{next(site.folder.rglob('*.db'))}?mode=ro", uri=True, isolation_level=None)
    found = list(Verifier(site.folder, site.blobs, site.vault.epochs, site.vault, site.clock).run(db, deep=True))
    db.close()
    assert found == []


async def test_nobody_but_this_browser_holds_the_key(site):
    person = await reader(site)
    sent, reference, password = passed(site, await pass_on(person))
    other = site.person()
    await other.get(sent.path)
    await enter(other, reference, password)
    thief = site.person()
    thief.client.cookies.set("__Host-vw", "x" * 43)
    assert (await thief.get(f"{other.base}/body")).status_code == 403


async def test_the_password_is_shown_once(site):
    person = await reader(site)
    page = await pass_on(person)
    _, _, password = passed(site, page)
    assert password not in (await person.get(f"{person.base}/forward")).text
    assert password not in (await person.get(person.base)).text


async def test_a_member_gets_it_as_mail(site):
    person = await reader(site)
    page = await pass_on(person, MEMBER)
    assert "beveiligde mailbox" in page.text
    (_, recipient, octets) = site.outbox.sent[0]
    mail = message_from_bytes(octets, policy=SMTP)
    assert recipient == MEMBER
    assert mail["reply-to"] == PATIENT
    assert mail["from"].addresses[0].domain == "replies.viewer.example.nl"
    first, original = mail.iter_parts()
    assert PATIENT in first.get_content()
    assert DOCTOR in first.get_content()
    assert TEXT in original.as_string()
    assert "+31612345678" not in octets.decode()
    assert (await site.kinds(person.deposited.message_id))[-1] == "passed-on"


async def test_twice_and_never_a_third_time(site):
    person = await reader(site)
    await pass_on(person)
    await pass_on(person, MEMBER)
    page = await pass_on(person)
    assert "niet meer doorsturen" in page.text
    assert (await site.kinds(person.deposited.message_id)).count("passed-on") == 2


async def test_of_many_at_once_two_pass(site):
    person = await reader(site)
    forms = []
    for _ in range(6):
        await person.get(f"{person.base}/forward")
        forms.append(re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1])
    action, token = person.form("/forward")
    fields = [{"token": token, "to": DAUGHTER, "note": "", "form": form} for form in forms]
    headers = {"Sec-Fetch-Site": "same-origin"}
    await asyncio.gather(*(person.client.post(action, data=data, headers=headers) for data in fields))
    assert (await site.kinds(person.deposited.message_id)).count("passed-on") == 2


@pytest.mark.parametrize("to", [DAUGHTER, MEMBER])
async def test_a_form_sent_twice_counts_once(site, to):
    person = await reader(site)
    await person.get(f"{person.base}/forward")
    action, token = person.form("/forward")
    form = re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    fields = {"token": token, "to": to, "note": "", "form": form}
    for _ in range(3):
        await person.client.post(action, data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert (await site.kinds(person.deposited.message_id)).count("passed-on") == 1


@pytest.mark.parametrize(
    "to", ["", "nobody", "a@b", "a@x.example, b@x.example", PATIENT, "x@[127.0.0.1]", "n.x@replies.viewer.example.nl"]
)
async def test_what_is_no_address_of_somebody_else(site, to):
    if to.endswith("viewer.example.nl"):
        directory = dataclasses.replace(site.services.directory(), viewer_domain=Domain("replies.viewer.example.nl"))
        services = dataclasses.replace(site.services, directory=lambda: directory)
        site = dataclasses.replace(site, services=services, app=create_app(services))
    person = await reader(site)
    page = await pass_on(person, to)
    assert page.status_code == 422
    assert "passed-on" not in await site.kinds(person.deposited.message_id)


async def test_what_the_pipeline_refuses_isnt_passed_on(site):
    person = await reader(site)
    site.outbox.refusal = Reply(550, "5.7.1", "Not this one")
    page = await pass_on(person, MEMBER)
    assert page.status_code == 422
    assert "Not this one" in page.text
    assert "passed-on" not in await site.kinds(person.deposited.message_id)


async def test_what_was_passed_on_goes_no_further_and_isnt_answered(site):
    person = await reader(site)
    sent, reference, password = passed(site, await pass_on(person))
    other = site.person()
    await other.get(sent.path)
    page = await enter(other, reference, password)
    assert "/forward" not in page.text
    assert "/reply" not in page.text
    for path in ("forward", "reply"):
        assert (await other.get(f"{other.base}/{path}")).status_code == 404


async def test_it_ends_with_the_original(site):
    person = await reader(site)
    site.clock.pass_(80 * 86400)
    again = site.person()
    await again.read(person.deposited, site.phone)
    sent, _reference, _password = passed(site, await pass_on(again))
    site.clock.pass_(11 * 86400)
    other = site.person()
    assert (await other.get(sent.path)).status_code == 410


async def test_wrong_words_make_a_pause_and_then_a_lock(site):
    person = await reader(site)
    sent, reference, password = passed(site, await pass_on(person))
    other = site.person()
    for round_ in range(4):
        for _ in range(5):
            await other.get(sent.path)
            page = await enter(other, reference, "AAAA-AAAA-AAAA")
            assert page.status_code == 422
        if round_ < 3:
            await other.get(sent.path)
            assert (await enter(other, reference, password)).status_code == 429
            site.clock.pass_(15 * 60)
    assert (await other.get(sent.path)).status_code == 403
    site.clock.pass_(86400)
    assert (await other.get(sent.path)).status_code == 403


async def test_of_many_tries_at_once_five_are_looked_at(site):
    person = await reader(site)
    sent, reference, _password = passed(site, await pass_on(person))
    other = site.person()
    await other.get(sent.path)
    action, token = other.form("/open")
    fields = {"token": token, "reference": reference, "password": "AAAA-AAAA-AAAA"}
    headers = {"Sec-Fetch-Site": "same-origin"}
    answers = await asyncio.gather(*(other.client.post(action, data=fields, headers=headers) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [422] * 5 + [429] * 7


async def test_the_right_password_with_the_wrong_reference_is_wrong(site):
    person = await reader(site)
    sent, _, password = passed(site, await pass_on(person))
    other = site.person()
    await other.get(sent.path)
    assert (await enter(other, "AAAAAA", password)).status_code == 422


async def test_whoever_passed_it_on_hears_that_it_is_locked(site):
    person = await reader(site)
    sent, reference, _ = passed(site, await pass_on(person))
    other = site.person()
    for number in range(20):
        await other.get(sent.path)
        await enter(other, reference, "AAAA-AAAA-AAAA")
        if number % 5 == 4:
            site.clock.pass_(15 * 60)
    before = len(site.composer.sent)
    await House(site.services, site.secrets).round()
    (notice,) = site.composer.sent[before:]
    assert message_from_bytes(notice, policy=SMTP)["to"] == PATIENT


async def test_reports_on_its_notification_come_to_an_address_that_knows_its_reader(site):
    person, senders, compose = await reader(site), [], site.composer.compose

    async def watched(**mail):
        senders.append(mail.get("sender", ""))
        return await compose(**mail)

    site.composer.compose = watched
    await pass_on(person)
    child = next(e.facts["message"] for e in await site.events(person.deposited.message_id) if e.kind == "passed-on")
    local, _, domain = senders[-1].partition("@")
    assert domain == "replies.viewer.example.nl"
    grant = await site.store.call("viewer_grant_by_address", kind="bounce", token_hash=digest(local.removeprefix("n.")))
    assert (grant.message_id, grant.recipient) == (child, DAUGHTER)
    assert (await site.store.message(child)).sender == PATIENT
