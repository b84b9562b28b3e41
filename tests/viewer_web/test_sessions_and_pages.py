"""Sessions, headers, the pages for what went wrong, and what must never be written down."""

from __future__ import annotations

import re

import pytest
from structlog.testing import capture_logs

from relayd.errors import KeyUnavailable, StoreUnavailable
from tests.kit.viewer import DAY, MOBILE, PATIENT, open_site


async def test_cookie_is_tied_to_the_host_and_changes_with_the_code(site):
    sent = await site.deposit()
    person = site.person()
    await person.get(sent.path)
    first = person.page.headers["set-cookie"]
    assert re.fullmatch(r"__Host-vw=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure", first)
    await person.press("/v/")
    await person.press("/code", follow=False, code=site.phone.code)
    second = person.page.headers["set-cookie"]
    assert second.partition(";")[2] == first.partition(";")[2]
    assert second.partition(";")[0] != first.partition(";")[0]


async def test_the_cookie_from_before_the_code_opens_nothing(site):
    sent = await site.deposit()
    person = site.person()
    await person.ask(sent)
    early = dict(person.client.cookies)
    await person.enter(site.phone.code)
    thief = site.person()
    thief.client.cookies.update(early)
    assert (await thief.get(person.base)).status_code == 403


async def test_session_sees_one_message_and_two_can_be_open_side_by_side(site):
    first, second = await site.deposit(subject="Een"), await site.deposit(subject="Twee")
    person = site.person()
    await person.read(first, site.phone)
    one = person.base
    stranger = site.person()
    await stranger.read(second, site.phone)
    assert (await person.get(stranger.base)).status_code == 403
    site.clock.pass_(700)
    await person.read(second, site.phone)
    two = person.base
    assert "<h1>Een</h1>" in (await person.get(one)).text
    assert "<h1>Twee</h1>" in (await person.get(two)).text


async def test_session_ends_after_twenty_idle_minutes(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    base = person.base
    for _ in range(4):
        site.clock.pass_(1190)
        assert (await person.get(base)).status_code == 200
    site.clock.pass_(1201)
    assert (await person.get(base)).status_code == 403


async def test_staying_signed_in_takes_one_button(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    site.clock.pass_(1100)
    page = await person.press("/extend")
    assert page.status_code == 200
    site.clock.pass_(1100)
    assert (await person.get(person.base)).status_code == 200


async def test_session_ends_after_eight_hours_whatever_happens(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    base = person.base
    for _ in range(28):
        site.clock.pass_(1000)
        assert (await person.get(base)).status_code == 200
    site.clock.pass_(1000)
    assert (await person.get(base)).status_code == 403


async def test_signing_out_ends_it_for_good(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    base, cookies = person.base, dict(person.client.cookies)
    page = await person.press("/logout", follow=False)
    assert page.headers["clear-site-data"] == '"cache", "storage"'
    assert "Max-Age=0" in page.headers["set-cookie"]
    assert (await person.get(page.headers["location"])).status_code == 200
    thief = site.person()
    thief.client.cookies.update(cookies)
    assert (await thief.get(base)).status_code == 403


async def test_every_page_has_its_headers(site):
    sent = await site.deposit()
    person = site.person()
    pages = [await person.get("/v/unknown"), await person.get("/nowhere"), await person.get("/static/viewer.css")]
    pages += [await person.get(sent.path), await person.press("/v/"), await person.enter("1")]
    pages += [await person.enter(site.phone.code), await person.get("/bye")]
    for page in pages:
        headers = page.headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "noindex" in headers["x-robots-tag"]
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["strict-transport-security"].startswith("max-age=63072000")
        assert "camera=()" in headers["permissions-policy"]
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)


async def test_the_body_has_a_policy_of_its_own(site):
    sent = await site.deposit(html="<p>x</p>")
    person = site.person()
    page = await person.read(sent, site.phone)
    frame = re.search(r"<iframe[^>]*>", page.text)[0]
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in frame
    assert 'referrerpolicy="no-referrer"' in frame
    assert 'title="' in frame
    body = await person.get(f"{person.base}/body")
    assert body.headers["content-security-policy"] == (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )


async def test_unknown_expired_and_withdrawn_links(site):
    sent, withdrawn = await site.deposit(), await site.deposit()
    reader = site.person()
    await reader.read(withdrawn, site.phone)
    base = reader.base
    await site.store.call("viewer_revoke", message_id=withdrawn.message_id, recipient=PATIENT)
    assert (await reader.get(base)).status_code == 403
    person = site.person()
    page = await person.get(withdrawn.path)
    assert (page.status_code, "ingetrokken" in page.text) == (410, True)
    page = await person.get("/v/" + "A" * 43)
    assert (page.status_code, "Deze link werkt niet" in page.text) == (404, True)
    await person.get(sent.path)
    site.clock.pass_(90 * DAY)
    page = await person.press("/v/")
    assert (page.status_code, "niet meer beschikbaar" in page.text) == (410, True)


async def test_expired_grant_forgets_who_it_was_for(site):
    sent = await site.deposit()
    site.clock.pass_(91 * DAY)
    await site.store.call("viewer_sweep")
    files = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file() and "sms" not in path.name)
    assert MOBILE.encode() not in files
    assert (await site.person().get(sent.path)).status_code == 410


async def test_message_whose_key_is_destroyed_is_gone(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    base = person.base
    message = await site.store.message(sent.message_id)
    keys = site.folder.parent / "keys" / "epochs"
    from relayd.vault.epochs import EpochKeys
    from relayd.vault.keyring import Keyring
    from relayd.vault.vault import Vault

    keyring = Keyring.load(site.folder.parent / "keys")
    epochs = EpochKeys(keys, keyring)
    epochs.destroy(message.organisation, message.epoch)
    object.__setattr__(site.services, "vault", Vault(keyring, EpochKeys(keys, keyring)))
    for path in (sent.path, base, f"{base}/body", f"{base}/message.eml"):
        page = await person.get(path)
        assert (page.status_code, "niet meer beschikbaar" in page.text) == (410, True)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("disk"), KeyUnavailable("keyring"), RuntimeError("Uitslag " + MOBILE)]
)
async def test_trouble_on_our_side_is_told_and_nothing_leaks(site, error):
    sent = await site.deposit()

    async def fail(message_id):
        raise error

    site.store.message = fail
    with capture_logs() as logs:
        page = await site.person().get(sent.path)
    assert page.status_code in {500, 503}
    assert "Nu niet beschikbaar" in page.text
    assert "Uitslag" not in page.text + str(logs)


async def test_languages_of_pages_without_a_grant(site):
    assert '<html lang="en">' in (await site.person(**{"Accept-Language": "en-GB,en;q=0.9,nl;q=0.8"}).get("/v/x")).text
    assert '<html lang="nl">' in (await site.person(**{"Accept-Language": "fr"}).get("/v/x")).text
    assert '<html lang="en">' in (await site.person().get("/bye?lang=en")).text
    assert '<html lang="nl">' in (await site.person().get("/bye?lang=xx")).text


async def test_nothing_secret_is_logged_or_rests_in_the_clear(tmp_path):
    canary = "Kanarie7391"
    with capture_logs() as logs:
        async with open_site(tmp_path) as site:
            files = ((f"{canary}.pdf", "application/pdf", canary.encode() * 20000),)
            sent = await site.deposit(subject=canary, text=canary, html=f"<p>{canary}</p>", attachments=files)
            person = site.person()
            await person.read(sent, site.phone)
            await person.get(f"{person.base}/body")
            await person.get(f"{person.base}/attachment/part-2")
            await person.ask(await site.deposit())
            code = site.phone.code
            token = sent.path.removeprefix("/v/")
            cookies = list(person.client.cookies.values())
            events = str(await site.events(sent.message_id))
    secrets = [canary, MOBILE, MOBILE[3:], token, *cookies]
    files = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    assert len(files) > 2
    for secret in secrets:
        assert secret not in str(logs) + events
        assert not [path for path, data in files.items() if secret.encode() in data]
    assert f"{code}" not in str(logs) + events


async def test_pages_name_what_a_screen_reader_needs(site):
    sent = await site.deposit(attachments=(("a.pdf", "application/pdf", b"%PDF"),))
    person = site.person()
    pages = [await person.get(sent.path), await person.press("/v/"), await person.enter("12")]
    pages += [await person.enter(site.phone.code), await person.get("/v/x"), await person.get("/bye")]
    for page in pages:
        assert len(re.findall(r"<h1[ >]", page.text)) == 1
        assert re.search(r"<title>\S.*</title>", page.text)
        inputs = re.findall(r'<input id="(\w+)"', page.text)
        assert all(f'<label for="{name}"' in page.text for name in inputs)
    assert pages[2].text.count("<title>Fout:") == 1
    assert 'role="alert"' in pages[2].text
    assert 'aria-invalid="true"' in pages[2].text
