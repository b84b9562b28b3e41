"""Passkeys: in a real browser with a device of its own, and what must not open anything."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from relayd.delivery.installation import digest
from relayd.store.viewer_passkeys import LIFE, Passkey
from tests.kit.chromium import CHROMIUM, chromium, serving
from tests.kit.ports import free_port
from tests.kit.viewer import open_site
from viewer_web.passkeys import Passkeys
from viewer_web.security import form_token

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium isn't installed")


class Device:
    """A browser whose person has a device that keeps passkeys, and touches it."""

    def __init__(self, page, protocol, device):
        self.page, self.protocol, self.device = page, protocol, device

    @classmethod
    async def of(cls, browser):
        page = await (await browser.new_context()).new_page()
        protocol = await page.context.new_cdp_session(page)
        await protocol.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = await protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return cls(page, protocol, made["authenticatorId"])

    async def refuse(self):
        """Its person isn't recognised any more."""
        await self.protocol.send("WebAuthn.setUserVerified", {"authenticatorId": self.device, "isUserVerified": False})


@pytest.fixture
async def world(tmp_path):
    """A served Viewer whose organisation allows passkeys. A passkey needs a host with a name."""
    port = free_port()
    address = f"http://localhost:{port}"
    async with open_site(tmp_path, viewer={"url": address, "service_name": "Veilige post"}) as plain:
        site = plain.with_settings(passkeys=True)
        async with serving(site.app, port), chromium() as browser:
            yield SimpleNamespace(site=site, address=address, browser=browser)


async def by_code(world, page, sent):
    await page.goto(world.address + sent.path)
    await page.click("text=Stuur de code")
    await page.fill("#code", world.site.phone.code)
    await page.click("main form button >> nth=0")
    await page.locator("iframe.body").wait_for()


@needs_chromium
async def test_the_next_message_opens_without_a_code(world):
    device = await Device.of(world.browser)
    page = device.page
    sent = await world.site.deposit()
    await by_code(world, page, sent)
    await page.click("text=Passkey maken")
    await page.locator("text=U hebt een passkey").wait_for()
    assert "passkey-added" in await world.site.kinds(sent.message_id)

    texted = len(world.site.phone.inbox)
    another = await world.site.deposit(subject="Nog een uitslag")
    await page.goto(world.address + another.path)
    await page.click("text=Openen met een passkey")
    await page.locator("h1:has-text('Nog een uitslag')").wait_for()
    assert len(world.site.phone.inbox) == texted
    verified = [event for event in await world.site.events(another.message_id) if event.kind == "verified"]
    assert [event.facts["channel"] for event in verified] == ["passkey"]

    await page.click("text=Passkey verwijderen")
    await page.locator("text=Passkey maken").wait_for()
    third = await world.site.deposit()
    await page.goto(world.address + third.path)
    assert await page.locator("text=Openen met een passkey").count() == 0


@needs_chromium
async def test_a_passkey_is_for_its_number_and_its_person(world):
    device = await Device.of(world.browser)
    page = device.page
    await by_code(world, page, await world.site.deposit())
    await page.click("text=Passkey maken")
    await page.locator("text=U hebt een passkey").wait_for()

    elsewhere = await world.site.deposit(mobile="+31687654321")
    await page.goto(world.address + elsewhere.path)
    assert await page.locator("text=Openen met een passkey").count() == 0

    again = await world.site.deposit()
    await page.goto(world.address + again.path)
    await device.refuse()
    await page.click("text=Openen met een passkey")
    await page.locator("text=Dat lukte niet").wait_for()
    assert "verified" not in await world.site.kinds(again.message_id)


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as one:
        yield one.with_settings(passkeys=True)


async def owner_of(site, sent):
    """Who would own a passkey of this message's reader, and the grant."""
    grant = await site.store.call("viewer_grant_by_token", token_hash=digest(sent.path.removeprefix("/v/")))
    return grant, (await Passkeys(site.services, site.secrets).holder_of(grant)).owner


async def signed_in(site, sent):
    """The browser of a reader with a session, as the store knows it."""
    person = site.person()
    await person.read(sent, site.phone)
    return digest(person.client.cookies["__Host-vw"])


async def with_passkey(site, sent, credential=b"device", browser=None):
    grant, owner = await owner_of(site, sent)
    browser, passkey = browser or await signed_in(site, sent), Passkey(credential, b"key", 0)
    assert await site.store.call("viewer_passkey_add", grant_id=grant.id, browser=browser, owner=owner, passkey=passkey)
    return grant, owner


async def send(person, path, token, **fields):
    return await person.client.post(path, data={"token": token, **fields}, headers={"Sec-Fetch-Site": "same-origin"})


async def test_an_answer_of_a_strangers_opens_nothing(site):
    sent = await site.deposit()
    await with_passkey(site, sent)
    person = site.person()
    for answer in ("", "{}", "null", "[" * 5000, "x" * 20_000, json.dumps({"id": "ZGV2aWNl", "rawId": "ZGV2aWNl"})):
        page = await person.get(sent.path)
        asked = await send(person, f"{sent.path}/passkey", re.search(r'data-token="([^"]+)"', page.text)[1])
        assert json.loads(asked.text)["userVerification"] == "required"
        response = await person.press("/passkey/open", answer=answer)
        assert response.status_code == 403
    assert (await site.kinds(sent.message_id)).count("verified") == 1


async def test_a_challenge_is_answered_once_and_in_time(site):
    sent = await site.deposit()
    grant, _ = await with_passkey(site, sent)

    async def take():
        return await site.store.call("viewer_challenge_take", grant_id=grant.id, browser=b"b")

    await site.store.call("viewer_challenge_put", grant_id=grant.id, browser=b"b", challenge=b"1")
    assert [await take(), await take()] == [b"1", None]
    await site.store.call("viewer_challenge_put", grant_id=grant.id, browser=b"b", challenge=b"2")
    site.clock.pass_(301)
    assert await take() is None


async def test_a_challenge_is_for_one_message_and_one_browser(site):
    (one, _), (other, _) = [await owner_of(site, await site.deposit()) for _ in range(2)]
    await site.store.call("viewer_challenge_put", grant_id=one.id, browser=b"b", challenge=b"1")
    for grant, browser in ((other, b"b"), (one, b"c")):
        assert await site.store.call("viewer_challenge_take", grant_id=grant.id, browser=browser) is None


async def test_an_organisation_without_them_accepts_none(tmp_path):
    async with open_site(tmp_path) as site:
        sent = await site.deposit()
        person = site.person()
        await person.get(sent.path)
        for path in (f"{sent.path}/passkey", f"{sent.path}/passkey/open"):
            token = await form_token(site.secrets, person.client.cookies["__Host-vw"], path)
            assert (await send(person, path, token, answer="{}")).status_code == 404


async def test_unused_passkeys_are_forgotten_and_one_of_many_gives_way(site):
    sent = await site.deposit()
    browser = await signed_in(site, sent)
    grant, owner = await with_passkey(site, sent, b"0", browser)
    for number in range(1, 7):
        site.clock.pass_(1)
        await with_passkey(site, sent, str(number).encode(), browser)
    known = await site.store.call("viewer_passkeys", owner=owner)
    assert [one.credential for one in known] == [b"6", b"5", b"4", b"3", b"2"]
    site.clock.pass_(LIFE + 1)
    assert await site.store.call("viewer_passkeys", owner=owner) == []
    assert not await site.store.call(
        "viewer_passkey_open",
        grant_id=grant.id,
        mobile=grant.mobile,
        owner=owner,
        credential=b"6",
        sign_count=1,
        browser=b"b",
        new_browser=b"c",
    )


async def test_a_credential_belongs_to_one_owner(site):
    sent = await site.deposit()
    await with_passkey(site, sent)
    other = await site.deposit(mobile="+31687654321")
    grant, owner = await owner_of(site, other)
    browser, passkey = await signed_in(site, other), Passkey(b"device", b"other key", 0)
    assert not await site.store.call(
        "viewer_passkey_add", grant_id=grant.id, browser=browser, owner=owner, passkey=passkey
    )


async def test_a_session_that_has_ended_adds_and_removes_none(site):
    sent = await site.deposit()
    browser = await signed_in(site, sent)
    grant, owner = await with_passkey(site, sent, b"kept", browser)
    await site.store.call("viewer_logout", browser=browser)
    late = {"grant_id": grant.id, "browser": browser, "owner": owner}
    assert not await site.store.call("viewer_passkey_add", **late, passkey=Passkey(b"late", b"key", 0))
    assert await site.store.call("viewer_passkeys_remove", **late) == 0
    assert [one.credential for one in await site.store.call("viewer_passkeys", owner=owner)] == [b"kept"]


async def test_a_passkey_of_the_number_before_opens_nothing_while_it_is_corrected(site):
    sent = await site.deposit()
    grant, owner = await with_passkey(site, sent)
    await site.store.call("viewer_number_correct", grant_id=grant.id, mobile=b"another")
    assert not await site.store.call(
        "viewer_passkey_open",
        grant_id=grant.id,
        mobile=grant.mobile,
        owner=owner,
        credential=b"device",
        sign_count=1,
        browser=b"b",
        new_browser=b"c",
    )
