"""mta-sts.DOMAIN: the policy of each domain that wants one, and nothing else (RFC 8461 §3.3)."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from relayd.directory.directory import Delivers, Directory, DomainEntry, Organisation, OrganisationSettings
from relayd.mail.address import Domain
from relayd.settings.organisations import PublishedStsSettings
from relayd.tls.mta_sts import parse_policy
from relayd.tls.sts_policy import StsMode, StsPolicy
from relayd.tls.sts_publish import published
from viewer_web.policy_host import PolicyHosts

PATH = "/.well-known/mta-sts.txt"
CLINIC, QUIET, AWAY = Domain("clinic.example"), Domain("quiet.example"), Domain("away.example")


def directory(mode: str = "enforce", *, mx: tuple[str, ...] = ()) -> Directory:
    wanted = PublishedStsSettings.model_validate({"mode": mode, "max_age": "7d", "mx": mx})
    clinic = Organisation(
        id="clinic",
        name="Clinic",
        domains=frozenset({CLINIC, QUIET, AWAY}),
        settings=OrganisationSettings(mta_sts=wanted),
        domain_settings={QUIET: OrganisationSettings()},
    )
    book = {domain: DomainEntry(domain, Delivers.MAILBOX, "clinic") for domain in (CLINIC, QUIET)}
    return Directory({"clinic": clinic}, book, {}, {}, {})


class Web:
    """The application behind its policy hosts, under a directory that may change."""

    def __init__(self) -> None:
        self.directory = directory()

        async def page(_: object) -> PlainTextResponse:
            return PlainTextResponse("a page")

        app = Starlette(
            routes=[Route("/", page), Route(PATH, page)], middleware=[Middleware(PolicyHosts, published=self.published)]
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://read.example")

    def published(self, domain: Domain) -> StsPolicy | None:
        return published(self.directory, "MX.relay.example", domain)

    async def ask(self, host: str, path: str = PATH, method: str = "GET") -> httpx.Response:
        return await self.client.request(method, path, headers={"Host": host})


@pytest.mark.parametrize("host", ["mta-sts.clinic.example", "MTA-STS.Clinic.Example.", "mta-sts.clinic.example:8443"])
async def test_the_policy_is_served(host: str) -> None:
    answer = await Web().ask(host)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    policy = parse_policy(CLINIC, "x", answer.content)
    assert (policy.mode, policy.mx, policy.max_age) == (StsMode.ENFORCE, ("mx.relay.example",), 7 * 86400)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("mta-sts.clinic.example", "/"),
        ("mta-sts.clinic.example", "/.well-known/other.txt"),
        ("mta-sts.clinic.example", "/v/token"),
        ("mta-sts.quiet.example", PATH),
        ("mta-sts.away.example", PATH),
        ("mta-sts.elsewhere.example", PATH),
        ("mta-sts.elsewhere.example", "/"),
        ("mta-sts...", PATH),
        ("mta-sts.[::1]", PATH),
    ],
)
async def test_nothing_else_is_there(host: str, path: str) -> None:
    answer = await Web().ask(host, path)
    assert answer.status_code == 404
    assert "a page" not in answer.text


async def test_it_can_only_be_read() -> None:
    web = Web()
    assert (await web.ask("mta-sts.clinic.example", method="POST")).status_code == 405
    assert (await web.ask("mta-sts.clinic.example", method="HEAD")).status_code == 200


@pytest.mark.parametrize("host", ["read.example", "clinic.example", "xmta-sts.clinic.example", "www.mta-sts.example"])
async def test_other_hosts_are_the_pages(host: str) -> None:
    assert (await Web().ask(host, "/")).text == "a page"


async def test_a_reload_changes_policy_and_id_together() -> None:
    web = Web()
    before, first = web.published(CLINIC), await web.ask("mta-sts.clinic.example")
    web.directory = directory("testing")
    after, second = web.published(CLINIC), await web.ask("mta-sts.clinic.example")
    assert before is not None
    assert after is not None
    assert before.id != after.id
    assert first.text != second.text
    web.directory = directory()
    assert web.published(CLINIC) == before


def test_hosts_may_be_named() -> None:
    found = published(directory(mx=("mx1.relay.example", "mx2.relay.example")), "relay.example", CLINIC)
    assert found is not None
    assert found.mx == ("mx1.relay.example", "mx2.relay.example")


def test_a_year_is_the_most() -> None:
    PublishedStsSettings(mode="enforce", max_age=timedelta(seconds=31_557_600))
    with pytest.raises(ValueError, match="max_age"):
        PublishedStsSettings(mode="enforce", max_age=timedelta(days=366))
