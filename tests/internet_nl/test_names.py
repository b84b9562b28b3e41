"""internet.nl's rules about DNS, each on a zone that keeps it and on one that doesn't."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from relayd.dns.records import Answer
from relayd.mail.address import Domain
from scripts.lib.internet_nl.names import authenticity, dnssec
from scripts.lib.internet_nl.score import Check, Status
from tests.kit.dns import FakeDns

DOMAIN = "clinic.example"
Zone = dict[tuple[str, str], Iterable[str | bytes] | Answer]
SOUND: Zone = {
    (DOMAIN, "MX"): ["10 mx.provider.example", "20 mx2.provider.example"],
    ("mx.provider.example", "A"): ["192.0.2.1"],
    ("mx2.provider.example", "AAAA"): ["2001:db8::1"],
    (DOMAIN, "TXT"): ["something else", "v=spf1 mx include:_spf.provider.example -all"],
    ("_spf.provider.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
    (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=reject; rua=mailto:dmarc@clinic.example"],
    (f"s1._domainkey.{DOMAIN}", "TXT"): ["v=DKIM1; p=AAAA"],
}
SECURE = (DOMAIN, "provider.example")


async def look(zone: Zone, secure: Iterable[str] = SECURE) -> dict[str, Check]:
    dns = FakeDns(zone, secure)
    checks = [check async for check in dnssec(dns, DOMAIN, await dns.mail_hosts(Domain(DOMAIN)))]
    checks += [check async for check in authenticity(dns, DOMAIN)]
    return {check.name: check for check in checks}


async def test_a_sound_zone_has_all_points() -> None:
    checks = await look(SOUND)
    assert set(checks) == {"mail domain", "mail servers", "DMARC", "DMARC policy", "DKIM", "SPF", "SPF policy"}
    assert {check.status for check in checks.values()} == {Status.PASSED}


def with_dmarc(*texts: str) -> Zone:
    return {(f"_dmarc.{DOMAIN}", "TXT"): texts}


def with_spf(*texts: str, **others: Iterable[str]) -> Zone:
    return {(DOMAIN, "TXT"): texts, **{(f"{name}.example", "TXT"): value for name, value in others.items()}}


SPOILT = [
    # what is changed, the check that fails, its points, a word of the reason
    ({("clinic.example", "MX"): Answer.BOGUS}, "mail domain", 0, "validated"),
    ({("mx2.provider.example", "AAAA"): Answer.BOGUS}, "mail servers", 0, "mx2"),
    ({("mx.provider.example", "A"): Answer.FAILED}, "mail servers", 0, "mx.provider"),
    (with_dmarc(), "DMARC", 0, "no record"),
    (with_dmarc("v=DMARC1; p=reject", "v=DMARC1; p=none"), "DMARC", 0, "more than one"),
    (with_dmarc("v=DMARC1; p=none; rua=mailto:a@clinic.example"), "DMARC policy", 0, "p=none"),
    (with_dmarc("v=DMARC1; p=sometimes; rua=mailto:a@clinic.example"), "DMARC policy", 0, "p=none"),
    (with_dmarc("v=DMARC1; p=quarantine; t=y"), "DMARC policy", 0, "t=y"),
    (with_dmarc("v=DMARC1; p=reject; rua=mailto:a@reports.example"), "DMARC policy", 2, "reports.example"),
    (with_dmarc("v=DMARC1; p=reject; ruf=mailto:a@reports.example!5m"), "DMARC policy", 2, "reports.example"),
    ({(f"_dmarc.{DOMAIN}", "TXT"): Answer.TIMEOUT}, "DMARC", 0, "timeout"),
    ({(f"s1._domainkey.{DOMAIN}", "TXT"): None}, "DKIM", 0, "nxdomain"),
    ({(f"_domainkey.{DOMAIN}", "TXT"): Answer.FAILED}, "DKIM", 0, "servfail"),
    (with_spf(), "SPF", 0, "no records"),
    (with_spf("v=spf1 -all", "v=spf1 ~all"), "SPF", 0, "2 records"),
    (with_spf("v=spf1 mx ?all"), "SPF policy", 0, "~all or -all"),
    (with_spf("v=spf1 mx +all"), "SPF policy", 0, "~all or -all"),
    (with_spf("v=spf1 mx"), "SPF policy", 0, "~all or -all"),
    (with_spf("v=spf1 mx:"), "SPF policy", 0, "syntax"),
    (with_spf("v=spf1 include:gone.example -all"), "SPF policy", 2, "gone.example"),
    (with_spf("v=spf1 redirect=weak.example", weak=["v=spf1 ?all"]), "SPF policy", 0, "~all or -all"),
    (with_spf(f"v=spf1 {' '.join(f'a:h{n}.example' for n in range(11))} -all"), "SPF policy", 2, "10 lookups"),
    (with_spf("v=spf1 include:loop.example -all", loop=["v=spf1 include:loop.example -all"]), "SPF policy", 2, "10"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name", "points", "reason"), SPOILT)
async def test_each_check_fails_on_a_zone_spoilt_for_it(change: Zone, name: str, points: int, reason: str) -> None:
    zone = {key: value for key, value in (SOUND | change).items() if value is not None}
    check = (await look(zone))[name]
    assert (check.status, check.points, check.most) == (Status.FAILED, points, 10)
    assert reason in check.detail


@pytest.mark.parametrize(("secure", "name"), [(["provider.example"], "mail domain"), ([DOMAIN], "mail servers")])
async def test_unsigned_names_have_few_points(secure: list[str], name: str) -> None:
    check = (await look(SOUND, secure))[name]
    assert (check.status, check.points) == (Status.FAILED, 2)


@pytest.mark.parametrize(
    "change",
    [
        with_dmarc("v=DMARC1; p=reject; t=y"),
        with_dmarc("v=DMARC1; p=quarantine; np=reject; psd=n"),
        {**with_dmarc("v=DMARC1; p=reject; rua=mailto:a@reports.example"),
         (f"{DOMAIN}._report._dmarc.reports.example", "TXT"): ["v=DMARC1;"]},
        with_spf("v=spf1 redirect=strict.example", strict=["v=spf1 ip4:192.0.2.1 -all"]),
        with_spf("v=spf1 include:%{d}.example ~all"),
        with_spf(f"v=spf1 {' '.join(f'a:h{n}.example' for n in range(10))} ~all"),
    ],
)  # fmt: skip
async def test_what_is_odd_and_allowed_passes(change: Zone) -> None:
    assert {check.status for check in (await look(SOUND | change)).values()} == {Status.PASSED}


async def test_a_record_of_the_organisational_domain_counts_for_those_below() -> None:
    dns = FakeDns({("_dmarc.clinic.example", "TXT"): ["v=DMARC1; p=none; sp=reject"]})
    checks = {check.name: check async for check in authenticity(dns, "ward.clinic.example")}
    assert checks["DMARC"].detail == "at _dmarc.clinic.example"
    assert checks["DMARC policy"].status is Status.PASSED
