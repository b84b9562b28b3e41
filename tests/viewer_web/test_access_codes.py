"""The rules of access codes, as a person with a browser meets them."""

from __future__ import annotations

import asyncio
import re

import pytest

from relayd.sms.message import SmsResult
from tests.kit.viewer import DOCTOR, PATIENT, open_site
from viewer_web.codes import clean_code

WRONG = "klopt niet, of is niet meer geldig"


def other_than(code):
    return f"{(int(code) + 1) % 10**6:06d}"


async def test_code_is_six_digits_with_a_reference_that_the_page_shows(site):
    sent = await site.deposit()
    person = site.person()
    page = await person.ask(sent)
    text = site.phone.inbox[0].text
    reference = re.search(r"kenmerk (\w{3})", text)[1]
    assert f"kenmerk {reference}" in page.text
    assert re.fullmatch(r"@viewer\.example\.nl #[0-9]{6}", text.splitlines()[-1])
    assert site.phone.code not in page.text
    assert 'autocomplete="one-time-code"' in page.text
    assert sent.path not in str(page.url)


async def test_leading_zeros_count(site, monkeypatch):
    monkeypatch.setattr("secrets.randbelow", lambda limit: 7)
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    assert site.phone.code == "000007"
    assert WRONG in (await person.enter("7" + "0" * 5)).text
    assert (await person.enter("000007")).url.path == person.base


@pytest.mark.parametrize("typed", ["{r}-{a} {b}", " {a}{b} ", "{a}-{b}", "{a}\u00a0{b}", "#{a}{b}", "{lower} {a}{b}"])
async def test_code_may_be_typed_as_people_type(site, typed):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    code, reference = site.phone.code, site.phone.inbox[0].reference
    entered = typed.format(r=reference, lower=reference.lower(), a=code[:3], b=code[3:])
    assert (await person.enter(entered)).url.path == person.base


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "12345\u0660"])
async def test_what_cannot_be_a_code_costs_no_try(site, typed):
    assert clean_code(typed, "K7Q") is None
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    for _ in range(6):
        page = await person.enter(typed)
        assert page.status_code == 422
        assert "Vul de zes cijfers" in page.text
    assert (await person.enter(site.phone.code)).status_code == 200


async def test_code_dies_ten_minutes_after_its_first_issue_even_when_sent_again(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    site.clock.pass_(500)
    await person.get(f"{person.base}/code")
    await person.press("/resend")
    assert len(site.phone.inbox) == 2
    site.clock.pass_(100)
    assert WRONG in (await person.enter(site.phone.code)).text
    assert "Nieuwe code sturen" in person.page.text


async def test_code_works_once(site):
    sent = await site.deposit()
    person, second = site.person(), site.person()
    await person.ask(sent)
    await second.ask(sent)
    await person.enter(site.phone.code)
    assert person.page.url.path == person.base
    assert WRONG in (await second.enter(site.phone.code)).text


async def test_of_two_right_codes_at_once_one_wins(site):
    sent = await site.deposit()
    people = [site.person() for _ in range(4)]
    for person in people:
        await person.ask(sent)
    pages = await asyncio.gather(*(person.press("/code", follow=False, code=site.phone.code) for person in people))
    assert sorted(page.status_code for page in pages) == [303, 422, 422, 422]
    assert (await site.kinds(sent.message_id)).count("verified") == 1


async def test_the_same_form_sent_twice_at_once_begins_one_session(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    code = site.phone.code
    pages = await asyncio.gather(*(person.press("/code", follow=False, code=code) for _ in range(2)))
    assert [page.status_code for page in pages].count(303) == 1
    assert (await site.kinds(sent.message_id)).count("verified") == 1


async def test_code_is_bound_to_the_browser_that_asked(site):
    sent = await site.deposit()
    person, thief = site.person(), site.person()
    await person.ask(sent)
    await thief.get(sent.path)
    page = await thief.get(f"{person.base}/code")
    assert page.status_code == 403
    assert "U bent uitgelogd" in page.text


async def test_code_is_bound_to_its_message(site):
    first, second = await site.deposit(), await site.deposit(recipient="anders@thuis.example", mobile="+31687654321")
    person = site.person()
    await person.ask(first)
    code = site.phone.code
    await person.ask(second)
    assert WRONG in (await person.enter(code)).text


async def test_fifth_wrong_try_spends_the_code(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    code = site.phone.code
    for left in ("4 pogingen", "3 pogingen", "2 pogingen", "1 poging "):
        assert f"nog {left}" in (await person.enter(other_than(code))).text
    assert "Nieuwe code sturen" in (await person.enter(other_than(code))).text
    assert WRONG in (await person.enter(code)).text


async def test_guesses_sent_at_once_are_still_five(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    wrong = other_than(site.phone.code)
    await asyncio.gather(*(person.press("/code", follow=False, code=wrong) for _ in range(12)))
    assert (await site.kinds(sent.message_id)).count("wrong-code") == 5


async def spend_codes(site, sent, codes):
    """So many codes, each with five wrong tries; waits for the caps in between."""
    person = site.person()
    for _ in range(codes):
        await person.ask(sent)
        for _ in range(5):
            await person.enter(other_than(site.phone.code))
        site.clock.pass_(3601)
    return person


async def test_thirty_wrong_codes_lock_until_unlocked_and_the_sender_is_told(site):
    sent = await site.deposit()
    person = await spend_codes(site, sent, 6)
    assert (await person.get(sent.path)).status_code == 403
    assert "geblokkeerd" in person.page.text
    before = len(site.composer.sent)
    await site.keep_house()
    await site.keep_house()
    (notice,) = site.composer.sent[before:]
    assert f"To: {DOCTOR}".encode() in notice
    assert b"Uitslag" not in notice
    assert "locked" in await site.kinds(sent.message_id)
    assert await site.store.call("viewer_unlock", message_id=sent.message_id, recipient=PATIENT) == 1
    site.clock.pass_(86400)
    assert (await site.person().read(sent, site.phone)).status_code == 200


async def test_three_spent_codes_warn_the_sender_once(site):
    sent = await site.deposit()
    await spend_codes(site, sent, 3)
    before = len(site.composer.sent)
    await site.keep_house()
    await site.keep_house()
    assert len(site.composer.sent) == before + 1
    assert (await site.person().read(sent, site.phone)).status_code == 200


async def test_a_right_code_starts_the_count_again(site):
    sent = await site.deposit()
    for _ in range(3):
        await spend_codes(site, sent, 2)
        await site.person().read(sent, site.phone)
        site.clock.pass_(86400)
    assert "locked" not in await site.kinds(sent.message_id)


async def test_asking_again_sends_the_same_code_after_a_minute_and_three_times_at_most(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    await person.press("/resend")
    assert len(site.phone.inbox) == 1
    assert "over 60 seconden" in person.page.text
    for count in (2, 3, 3):
        site.clock.pass_(61)
        await person.ask(sent)
        assert len(site.phone.inbox) == count
    assert len({sms.text for sms in site.phone.inbox}) == 1
    assert "drie keer" in person.page.text
    assert (await person.enter(site.phone.code)).url.path == person.base


async def test_three_codes_an_hour_and_ten_a_day(site):
    sent = await site.deposit(mobile="+31612345678")
    counts = []
    for _ in range(30):
        page = await site.person().ask(sent)
        counts.append(page.status_code)
        site.clock.pass_(601)
    assert counts[:4] == [200, 200, 200, 429]
    assert len({sms.reference + sms.text for sms in site.phone.inbox}) == len(site.phone.inbox) == 10


async def test_ten_sms_a_day_to_one_number_whatever_the_message(site):
    messages = [await site.deposit() for _ in range(11)]
    pages = [await site.person().ask(sent) for sent in messages]
    assert [page.status_code for page in pages] == [200] * 10 + [429]
    assert len(site.phone.inbox) == 10


async def test_budget_of_an_organisation_and_the_breaker(tmp_path):
    for limit in ({"per_organisation": 2}, {"per_hour": 2}):
        async with open_site(tmp_path / next(iter(limit)), sms=limit) as site:
            messages = [await site.deposit(mobile=f"+3161234567{n}") for n in range(3)]
            pages = [await site.person().ask(sent) for sent in messages]
            assert [page.status_code for page in pages] == [200, 200, 429]
            assert "te veel codes" in pages[-1].text


@pytest.mark.parametrize("number", ["+447400123456", "+31201234567", "+31900123456"])
async def test_numbers_that_get_no_code(site, number):
    sent = await site.deposit(mobile=number)
    page = await site.person().ask(sent)
    assert page.status_code == 409
    assert "geen code sturen naar dit nummer" in page.text
    assert site.phone.inbox == []


async def test_an_sms_that_did_not_go_out_is_told(site):
    sent = await site.deposit()
    site.phone.result = SmsResult.UNREACHABLE
    person = site.person()
    page = await person.ask(sent)
    assert "kon niet worden verstuurd" in page.text
    assert (await site.kinds(sent.message_id))[-1] == "code-failed"
    site.phone.result = SmsResult.ACCEPTED
    site.clock.pass_(61)
    await person.press("/resend")
    assert (await person.enter(site.phone.code)).url.path == person.base


async def test_a_shorter_lifetime_is_kept(tmp_path):
    async with open_site(tmp_path, viewer={"url": "https://viewer.example.nl", "code_lifetime": "2m"}) as site:
        sent = await site.deposit()
        person = site.person()
        await person.ask(sent)
        site.clock.pass_(120)
        assert WRONG in (await person.enter(site.phone.code)).text


async def test_wrong_expired_and_foreign_codes_get_the_same_words(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    wrong = await person.enter(other_than(site.phone.code))
    site.clock.pass_(601)
    expired = await person.enter(site.phone.code)
    assert wrong.status_code == expired.status_code == 422
    for page in (wrong, expired):
        assert re.findall(r'class="wrong"[^>]*>([^<]+)', page.text) == ["Deze code klopt niet, of is niet meer geldig."]


async def test_fraud_with_sms_is_noticed(site):
    from structlog.testing import capture_logs

    for number in range(20):
        await site.person().ask(await site.deposit(mobile=f"+316123456{number:02d}"))
    with capture_logs() as logs:
        await site.keep_house()
    assert [(log["region"], log["sends"], log["used"]) for log in logs if log["log_level"] == "warning"] == [
        ("NL", 20, 0)
    ]
