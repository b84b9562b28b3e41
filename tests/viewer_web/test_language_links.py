"""The links to the other language: the same place, nothing changed, never elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest

from tests.kit.viewer import ORIGIN
from viewer_web.hosts import hostname

SAME = {"Sec-Fetch-Site": "same-origin"}


def link(page):
    """Where the link to the other language leads, as a browser resolves it."""
    found = re.search(r'<a href="([^"]*)" lang="\w\w" hreflang', page.text)[1].replace("&amp;", "&")
    return urljoin(str(page.url), found.replace("\\", "/"))


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example/x", "/%5Cevil.example/x", "/%2Fevil.example", "///evil.example", "/v/"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_address_makes_it_lead_elsewhere(site, path, method):
    page = await site.person().client.request(method, ORIGIN + path)
    assert hostname(link(page)) == hostname(ORIGIN)
    assert "evil" not in re.search(r'<a href="([^"]*)" lang', page.text)[1]


async def test_every_page_keeps_its_place_and_changes_nothing(site):
    sent = await site.deposit()
    person = site.person()
    for path in (sent.path, "/about", "/bye"):
        assert link(await person.get(path)) == f"{ORIGIN}{path}?lang=en"
    await person.read(sent, site.phone)
    base, before = person.base, await site.kinds(sent.message_id)
    for page in ("", "/reply", "/forward", "/forward?again="):
        there = await person.get(link(await person.get(base + page)))
        assert there.status_code == 200
        assert 'lang="en"' in there.text
        assert there.url.path == f"{base}{page}".partition("?")[0]
        assert ("again" in str(there.url)) == ("again" in page)
    assert await site.kinds(sent.message_id) == before


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("v/open", "v"), ("v/number", "v"), ("v/passkey/open", "v"),
        ("g/resend", "g/code"), ("g/extend", "g"), ("g/logout", "g"), ("g/passkey/add", "g"), ("g/reply", "g/reply"),
    ],
)  # fmt: skip
async def test_a_page_that_answers_a_form_leads_to_one_that_can_be_opened(site, step, shown):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    start = {"v": sent.path, "g": person.base}
    kind, _, rest = step.partition("/")
    page = await person.client.post(f"{start[kind]}/{rest}", data={"token": "x"}, headers=SAME)
    assert page.status_code == 403
    kind, slash, rest = shown.partition("/")
    assert link(page) == f"{ORIGIN}{start[kind]}{slash}{rest}?lang=en"
    assert (await person.get(link(page))).status_code in {200, 403}
