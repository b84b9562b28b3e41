"""What has ended has ended for everyone: withdrawn copies, closed sessions, numbers that weren't right."""

from __future__ import annotations

import re

import pytest

from tests.kit.viewer import PATIENT, Deposited, Person, Site, open_site
from tests.viewer_web.test_passing_on import DAUGHTER, TEXT, enter, pass_on, passed, reader
from tests.viewer_web.test_senders_page import act, follow


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
