"""Host names: the service's, an organisation's own, another organisation's, and ones that aren't ours."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.kit.viewer import ORIGIN
from viewer_web.app import create_app

OWN, OTHER = "https://veilig.zuid.example", "https://veilig.noord.example"


@pytest.fixture
def houses(site):
    """The same Viewer, with two organisations that each have a host name."""
    site = site.with_settings(viewer_url=OWN)
    directory = site.services.directory()
    zuid = directory.organisations["zuid"]
    noord = dataclasses.replace(zuid, id="noord", settings=dataclasses.replace(zuid.settings, viewer_url=OTHER))
    directory = dataclasses.replace(directory, organisations={"zuid": zuid, "noord": noord})
    services = dataclasses.replace(site.services, directory=lambda: directory)
    return dataclasses.replace(site, services=services, app=create_app(services))


def at(site, origin):
    person = site.person()
    person.client.base_url = origin
    return person


@pytest.mark.parametrize(
    "host",
    ["evil.example", "viewer.example.nl.evil.example", "viewer.example.nl@evil.example", "10.0.0.1:8080", "[x", ""],
)
async def test_a_host_that_isnt_ours_gets_no_page(houses, host):
    sent = await houses.deposit()
    for path in (sent.path, "/about", "/static/viewer.css", "/"):
        page = await houses.person(Host=host).get(path)
        assert page.status_code == 421
        assert "Zuid" not in page.text


@pytest.mark.parametrize("host", ["VIEWER.example.nl", "viewer.example.nl.", "viewer.example.nl:8443"])
async def test_our_host_may_be_written_in_any_way(site, host):
    sent = await site.deposit()
    assert (await site.person(Host=host).get(sent.path)).status_code == 200


async def test_a_message_is_read_at_its_organisations_host_and_the_services_alone(houses):
    sent = await houses.deposit()
    for origin, status in ((OWN, 200), (ORIGIN, 200), (OTHER, 404)):
        page = await at(houses, origin).get(sent.path)
        assert page.status_code == status
        assert ("Zuid" in page.text) == (status == 200)
    person = at(houses, OWN)
    await person.read(sent, houses.phone)
    person.client.headers["Host"] = "veilig.noord.example"
    for page in ("", "/body", "/message.eml", "/reply"):
        assert (await person.get(f"{person.base}{page}")).status_code == 403


@pytest.mark.parametrize("origin", [OTHER, ORIGIN, "http://veilig.zuid.example", "null", ""])
async def test_a_form_of_another_host_of_ours_isnt_this_ones(houses, origin):
    sent = await houses.deposit()
    person = at(houses, OWN)
    await person.get(sent.path)
    action, token = person.form("/v/")
    answer = await person.client.post(action, data={"token": token}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert not houses.phone.inbox


async def test_every_address_in_a_page_is_relative_to_the_host_that_was_asked(houses):
    sent = await houses.deposit(attachments=(("a.txt", "text/plain", b"x"), ("b.txt", "text/plain", b"x")))
    person = at(houses, OWN)
    pages = [await person.get(sent.path), await person.read(sent, houses.phone)]
    pages += [await person.get(f"{person.base}{page}") for page in ("/body", "/reply", "/forward", "/print")]
    pages.append(await person.get("/about"))
    addresses = [one for page in pages for one in re.findall(r'(?:href|src|action)="([^"]*)"', page.text)]
    assert addresses
    assert not [one for one in addresses if not re.match(r"/[^/\\]|[?#]", one)]


async def test_the_page_about_us_names_the_host_that_was_asked(houses):
    assert "veilig.zuid.example" in (await at(houses, OWN).get("/about")).text
