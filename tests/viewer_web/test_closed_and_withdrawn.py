"""What has ended has ended for everyone: withdrawn copies, closed sessions, numbers that weren't right."""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes
from email.policy import SMTP

import pytest

from relayd.errors import KeyUnavailable, StoreUnavailable
from relayd.mail.meta import Reader
from tests.kit.viewer import MOBILE, PATIENT, Deposited, Person, Site, open_site
from tests.viewer_web.test_passing_on import DAUGHTER, TEXT, enter, pass_on, passed, reader
from tests.viewer_web.test_senders_page import OTHER_MOBILE, act, follow, number_field
from viewer_web.app import create_app


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


async def second_reader(site: Site, person: Person, to: str = DAUGHTER) -> tuple[Person, Deposited, tuple[str, str]]:
    """Somebody who has open what ``person`` passed on."""
    sent, *words = passed(site, await pass_on(person, to))
    other = site.person()
    await other.get(sent.path)
    await enter(other, *words)
    assert TEXT in (await other.get(f"{other.base}/body")).text
    return other, sent, (words[0], words[1])


async def copy_of(site: Site, person: Person) -> str:
    events = await site.events(person.deposited.message_id)
    return next(one.facts["message"] for one in reversed(events) if one.kind == "passed-on")


# Withdrawing


async def test_a_withdrawal_takes_the_copies_along_and_its_undoing_brings_them_back(site):
    person = await reader(site)
    other, sent, words = await second_reader(site, person)
    sender = await follow(site)
    await act(sender, "revoke")
    for path in ("", "/body", "/message.eml"):
        assert (await other.get(f"{other.base}{path}")).status_code in {403, 410}
    page = await site.person().get(sent.path)
    assert (page.status_code, "ingetrokken" in page.text) == (410, True)
    await act(sender, "restore")
    again = site.person()
    await again.get(sent.path)
    await enter(again, *words)
    assert TEXT in (await again.get(f"{again.base}/body")).text
    assert (await site.kinds(await copy_of(site, person)))[-4:-2] == ["revoked", "restored"]


async def test_a_withdrawal_for_one_reader_leaves_the_copies_of_another(site):
    one, two = await reader(site), await reader(site, recipient="anders@thuis.example")
    theirs, _, _ = await second_reader(site, two)
    await second_reader(site, one)
    await site.store.call("viewer_revoke", message_id=one.deposited.message_id, recipient=PATIENT)
    assert TEXT in (await theirs.get(f"{theirs.base}/body")).text


async def test_a_copy_that_was_withdrawn_by_itself_stays_so(site):
    person = await reader(site)
    _, sent, _ = await second_reader(site, person)
    await site.store.call("viewer_revoke", message_id=await copy_of(site, person), recipient=DAUGHTER)
    site.clock.pass_(60)
    sender = await follow(site)
    await act(sender, "revoke")
    await act(sender, "restore")
    assert (await site.person().get(sent.path)).status_code == 410


async def test_withdrawn_while_it_is_passed_on(site):
    person, compose = await reader(site), site.composer.compose

    async def meanwhile(**mail):
        await site.store.call("viewer_revoke", message_id=person.deposited.message_id, recipient="")
        return await compose(**mail)

    site.composer.compose = meanwhile
    page = await pass_on(person)
    assert page.status_code == 403
    assert "secret" not in page.text
    assert "passed-on" not in await site.kinds(person.deposited.message_id)
    assert (await site.person().get(passed_link(site))).status_code == 404


def passed_link(site: Site) -> str:
    return Deposited("", b"", site.composer.sent[-1], None).path


async def test_guesses_by_way_of_several_processes_are_counted_together(site):
    sent, reference, _ = passed(site, await pass_on(await reader(site)))
    people = [Person(create_app(site.services), {}) for _ in range(3)]
    answers = []
    for one in people:
        await one.get(sent.path)
        action, token = one.form("/open")
        fields = {"token": token, "reference": reference, "password": "AAAA-AAAA-AAAA"}
        answers += [one.client.post(action, data=fields, headers={"Sec-Fetch-Site": "same-origin"}) for _ in range(4)]
    codes = [answer.status_code for answer in await asyncio.gather(*answers)]
    assert sorted(codes) == [422] * 5 + [429] * 7


# Another number


async def correct(site: Site):
    sender = await follow(site)
    return await act(sender, "number", **{number_field(sender): OTHER_MOBILE})


def just_before(site: Site, operation: str, happens) -> None:
    """Let ``happens`` happen between the last look and this operation."""
    call = site.store.call

    async def watched(called, /, **arguments):
        if called == operation:
            site.store.call = call
            await happens()
        return await call(called, **arguments)

    site.store.call = watched


def words_of(mail: bytes) -> str:
    return message_from_bytes(mail, policy=SMTP).get_body(("plain",)).get_content()


async def test_a_number_in_place_of_an_access_code(site):
    sent = await site.deposit(mobile="", access_code="zonnebloem-7")
    reader_ = site.person()
    await reader_.get(sent.path)
    assert (await reader_.press("/open", password="zonnebloem-7")).status_code == 200
    before, _ = reader_.base, site.clock.pass_(700)
    assert (await correct(site)).status_code == 200
    assert "sms" in words_of(site.composer.sent[-1]).lower()
    assert (await reader_.get(before)).status_code == 403
    other = site.person()
    page = await other.get(sent.path)
    assert 'name="password"' not in page.text
    await other.read(sent, site.phone)
    assert site.phone.inbox[-1].number == OTHER_MOBILE
    assert TEXT in (await other.get(f"{other.base}/body")).text


async def test_a_number_in_place_of_codes_by_mail_is_what_the_mail_speaks_of(site):
    await site.deposit(mobile="", reader=Reader(email=True))
    site.clock.pass_(700)
    await correct(site)
    assert "sms" in words_of(site.composer.sent[-1]).lower()


async def test_a_code_that_was_sent_to_the_number_before_opens_nothing(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    await correct(site)
    page = await person.enter(site.phone.code)
    assert page.status_code == 403
    assert "verified" not in await site.kinds(sent.message_id)


async def test_no_code_goes_to_the_number_before_while_it_is_corrected(site):
    sent = await site.deposit()
    person = site.person()
    await person.get(sent.path)
    just_before(site, "viewer_request_code", lambda: correct(site))
    assert (await person.press("/v/")).status_code == 403
    assert MOBILE not in [one.number for one in site.phone.inbox]


async def test_an_access_code_opens_nothing_while_a_number_takes_its_place(site):
    sent = await site.deposit(mobile="", access_code="zonnebloem-7")
    person = site.person()
    await person.get(sent.path)
    just_before(site, "viewer_secret_right", lambda: correct(site))
    assert (await person.press("/open", password="zonnebloem-7")).status_code == 410
    assert "verified" not in await site.kinds(sent.message_id)


# A page that never arrived


async def send_again(person: Person, form: str, token: str, **fields: str):
    return await person.client.post(
        f"{person.base}/forward",
        data={"token": token, "form": form, **fields},
        headers={"Sec-Fetch-Site": "same-origin"},
    )


async def test_a_password_that_never_arrived_comes_when_the_form_is_sent_again(site):
    person = await reader(site)
    await pass_on(person)
    await person.get(f"{person.base}/forward")
    token, form = person.form("/forward")[1], re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    said = {"to": DAUGHTER, "note": "Lees dit."}
    lost = await send_again(person, form, token, **said)
    page = await send_again(person, form, token, **said)
    assert page.status_code == 200
    assert passed(site, page)[1:] == passed(site, lost)[1:]
    sent, *words = passed(site, page)
    other = site.person()
    await other.get(sent.path)
    assert (await enter(other, *words)).status_code == 200
    assert (await site.kinds(person.deposited.message_id)).count("passed-on") == 2


@pytest.mark.parametrize("other", [{"to": "zoon@elders.example"}, {"note": "Iets anders."}])
async def test_a_form_that_says_something_else_shows_no_password(site, other):
    person = await reader(site)
    await person.get(f"{person.base}/forward")
    token, form = person.form("/forward")[1], re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]
    said = {"to": DAUGHTER, "note": "Lees dit."}
    await send_again(person, form, token, **said)
    page = await send_again(person, form, token, **said | other)
    assert "again=1" in page.headers["location"]
    assert (await site.kinds(person.deposited.message_id)).count("passed-on") == 1


async def test_two_readers_may_use_one_name_of_a_form(site):
    pages = []
    for person in (await reader(site), await reader(site)):
        await person.get(f"{person.base}/forward")
        token = person.form("/forward")[1]
        pages.append(await send_again(person, "0" * 32, token, to=DAUGHTER, note=""))
    assert [page.status_code for page in pages] == [200, 200]
    assert passed(site, pages[0])[2] != passed(site, pages[1])[2]


# Our own trouble


def fails(site: Site, monkeypatch, where: str, error: Exception) -> None:
    """From now on this can't be reached."""

    def away(*_, **__):
        raise error

    if where == "keys":
        monkeypatch.setattr(site.vault.epochs, "existing", away)
        return
    call, message = site.store.call, site.store.message

    async def watched(called, /, **arguments):
        if called == where:
            raise error
        return await call(called, **arguments)

    async def looked(message_id):
        if where == "message":
            raise error
        return await message(message_id)

    monkeypatch.setattr(site.store, "call", watched)
    monkeypatch.setattr(site.store, "message", looked)


@pytest.mark.parametrize("where", ["keys", "message", "viewer_secret_right"])
@pytest.mark.parametrize("word", ["access code", "password"])
async def test_a_try_that_our_own_trouble_kept_from_an_answer_costs_nothing(site, monkeypatch, word, where):
    if word == "password":
        sent, reference, password = passed(site, await pass_on(await reader(site)))
        words = {"reference": reference, "password": password}
    else:
        sent, words = await site.deposit(mobile="", access_code="zonnebloem-7"), {"password": "zonnebloem-7"}
    person = site.person()
    await person.get(sent.path)
    action, token = person.form("/open")
    send = {"data": words | {"token": token}, "headers": {"Sec-Fetch-Site": "same-origin"}}
    with monkeypatch.context() as trouble:
        error = KeyUnavailable("the keys are away") if where == "keys" else StoreUnavailable("the disk is away")
        fails(site, trouble, where, error)
        for _ in range(25):
            assert (await person.client.post(action, **send)).status_code == 503
    assert (await person.client.post(action, **send)).status_code == 303


async def test_wrong_words_are_counted_also_when_their_journal_cant_be_written(site, monkeypatch):
    sent = await site.deposit(mobile="", access_code="zonnebloem-7")
    person = site.person()
    await person.get(sent.path)
    action, token = person.form("/open")
    send = {"data": {"token": token, "password": "verkeerd-88"}, "headers": {"Sec-Fetch-Site": "same-origin"}}
    fails(site, monkeypatch, "viewer_secret_wrong", StoreUnavailable("the disk is away"))
    assert [(await person.client.post(action, **send)).status_code for _ in range(7)] == [503] * 5 + [429] * 2


@pytest.mark.parametrize("where", ["viewer_waiting", "viewer_enter_code"])
async def test_a_code_that_couldnt_be_looked_at_costs_no_try(site, monkeypatch, where):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    action, token = person.form("/code")
    send = {"data": {"token": token, "code": site.phone.code}, "headers": {"Sec-Fetch-Site": "same-origin"}}
    with monkeypatch.context() as trouble:
        fails(site, trouble, where, StoreUnavailable("the disk is away"))
        for _ in range(7):
            assert (await person.client.post(action, **send)).status_code == 503
    assert (await person.client.post(action, **send)).status_code == 303
