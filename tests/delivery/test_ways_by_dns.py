"""What is asked of DNS, MTA-STS and the NTA 7516 register before a message goes by MX, and what follows."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from relayd.delivery.ways import NoWay, NtaHosts, Ways, no_nta_hosts
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.dns.records import Answer, Validation
from relayd.mail.address import Domain
from relayd.settings.models import NoticeSettings
from relayd.tls.demand import NO_WISHES, Ignored, Override, Security, Wishes
from relayd.tls.results import TlsResult
from relayd.tls.sts_policy import StsMode, StsPolicy
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock

ORG, MX, SECOND = Domain("example.org"), "mx.example.org", "mx2.example.net"
RECORD = f"3 1 1 {bytes(32).hex()}"
POLICY = StsPolicy(ORG, "1", StsMode.ENFORCE, (SECOND,), 86400)
ZONE: dict[tuple[str, str], list[str | bytes] | Answer] = {
    ("example.org", "MX"): [f"10 {MX}", f"20 {SECOND}"],
    (MX, "A"): ["192.0.2.1"],
    (SECOND, "A"): ["192.0.2.2"],
    (f"_25._tcp.{MX}", "TLSA"): [RECORD],
}
D, V, E = Security.DANE, Security.VERIFIED, Security.ENCRYPTED


class Policies:
    """Remembers who was asked about."""

    def __init__(self, policy: StsPolicy | None = None) -> None:
        self.known = policy
        self.asked: list[Domain] = []

    async def policy(self, domain: Domain) -> StsPolicy | None:
        self.asked.append(domain)
        return self.known


class Results:
    def __init__(self) -> None:
        self.noted: list[TlsResult] = []

    def note(self, result: TlsResult) -> None:
        self.noted.append(result)


def ways(
    dns: FakeDns,
    policies: Policies | None = None,
    *,
    overrides: dict[Domain, Override] | None = None,
    nta_hosts: NtaHosts = no_nta_hosts,
    results: Results | None = None,
    book: DomainEntry | None = None,
    today: date = date(2030, 1, 1),
) -> Ways:
    clock = FrozenClock(datetime(today.year, today.month, today.day, 23, 59, tzinfo=UTC).timestamp())
    return Ways(
        Directory({}, {book.domain: book} if book else {}, {}, {}, {}),
        dns,
        NoticeSettings(),
        "relay.example",
        policies=policies,
        overrides=overrides,
        nta_hosts=nta_hosts,
        results=results,
        clock=clock,
    )


def zone(**changed: list[str | bytes] | Answer) -> dict[tuple[str, str], list[str | bytes] | Answer]:
    """ZONE with other TLSA, MX or A records for the first host or the domain."""
    names = {"MX": "example.org", "A": MX, "TLSA": f"_25._tcp.{MX}", "CNAME": MX}
    return ZONE | {(names[kind], kind): records for kind, records in changed.items()}


async def told(
    found: Ways, message_class: str = "ordinary", wishes: Wishes = NO_WISHES, target: str = ""
) -> list[Security] | str:
    hops = await found.to(target, ORG, message_class, wishes)
    return hops.status if isinstance(hops, NoWay) else [hop.demand.security for hop in hops]


async def test_a_signed_domain_and_one_host_outside() -> None:
    dns = FakeDns(ZONE, secure=["example.org"])
    assert await told(ways(dns)) == [D, E]
    assert await told(ways(dns), "confidential") == [D]
    assert await told(ways(dns, Policies(POLICY)), "confidential") == [D, V]


async def test_mta_sts_is_asked_only_where_dane_leaves_something_open() -> None:
    policies = Policies(POLICY)
    only_dane = FakeDns(zone(MX=[f"10 {MX}"]), secure=["example.org"])
    assert await told(ways(only_dane, policies)) == [D]
    assert policies.asked == []
    assert await told(ways(FakeDns(ZONE, secure=["example.org"]), policies)) == [D, V]
    assert policies.asked == [ORG]


async def test_tlsa_records_are_asked_for_at_secure_names_only() -> None:
    dns = FakeDns(ZONE)
    assert await told(ways(dns)) == [E, E]
    assert not [name for name, kind in dns.asked if kind == "TLSA"]


@pytest.mark.parametrize("kind", ["A", "AAAA"])
@pytest.mark.parametrize("answer", [Answer.BOGUS, Answer.FAILED, Answer.TIMEOUT])
async def test_breaking_the_look_up_of_one_address_family_does_not_turn_dane_off(kind: str, answer: Answer) -> None:
    both = {("example.org", "MX"): [f"10 {MX}"], (MX, "A"): ["192.0.2.1"], (MX, "AAAA"): ["2001:db8::1"]}
    broken = ZONE | both | {(MX, kind): answer}
    assert await told(ways(FakeDns(broken, secure=["example.org"]))) == [D]


@pytest.mark.parametrize(
    ("secure", "at", "expected"),
    [
        pytest.param(["example.org", "real.example"], "host.real.example", D, id="the name behind secure aliases"),
        pytest.param(["example.org", "real.example"], MX, D, id="else the alias's own name"),
        pytest.param(["example.org"], MX, D, id="the alias is secure, what it points to isn't"),
        pytest.param(["example.org"], "host.real.example", E, id="then not the name behind it"),
        pytest.param(["real.example"], "host.real.example", E, id="the alias isn't secure"),
    ],
)
async def test_tlsa_base_domains(secure: list[str], at: str, expected: Security) -> None:  # RFC 7672 §2.2.3
    aliased = {
        ("example.org", "MX"): [f"10 {MX}"],
        (MX, "CNAME"): ["host.real.example"],
        ("host.real.example", "A"): ["192.0.2.1"],
        (f"_25._tcp.{at}", "TLSA"): [RECORD],
        ("_25._tcp.absent", "TLSA"): [RECORD],
    }
    hops = await ways(FakeDns(aliased, secure=secure)).to("", ORG, "ordinary")
    assert not isinstance(hops, NoWay)
    assert hops[0].demand.security is expected
    assert hops[0].demand.server_name == (at if expected is D else "")


async def test_an_alias_that_cannot_be_looked_at_makes_it_wait() -> None:
    class Halting(FakeDns):
        async def look_up(self, name: str, kind: str):  # type: ignore[no-untyped-def]
            found = await super().look_up(name, kind)
            return type(found)(Answer.TIMEOUT) if kind == "CNAME" else found

    aliased = {("example.org", "MX"): [f"10 {MX}"], (MX, "CNAME"): ["h.example"], ("h.example", "A"): ["192.0.2.1"]}
    assert await told(ways(Halting(aliased, secure=["example.org"]))) == "4.4.3"


async def test_validation_that_is_off_turns_dane_off_and_proves_nothing() -> None:
    dns = FakeDns(zone(MX=[f"10 {MX}"]), secure=["example.org"])
    dns.validation = Validation.OFF
    assert await told(ways(dns)) == [E]
    assert await told(ways(dns), "confidential") == "4.7.5"


@pytest.mark.parametrize(("today", "expected"), [(date(2030, 1, 31), E), (date(2030, 2, 1), D)])
async def test_an_override_ends(today: date, expected: Security) -> None:
    overrides = {ORG: Override(frozenset({Ignored.DANE}), "their signer is broken", date(2030, 1, 31))}
    dns = FakeDns(zone(MX=[f"10 {MX}"]), secure=["example.org"])
    found = ways(dns, overrides=overrides, today=today)
    hops = await found.to("", ORG, "ordinary")
    assert not isinstance(hops, NoWay)
    assert hops[0].demand.security is expected
    assert ("their signer is broken" in hops[0].demand.reason) is (expected is E)


@pytest.mark.parametrize(
    ("dns", "wishes", "expected"),
    [
        (FakeDns(ZONE, secure=["example.org"]), Wishes(require_tls=True), [D]),
        (FakeDns(ZONE), Wishes(require_tls=True), "5.7.10"),
        (FakeDns(zone(TLSA=Answer.BOGUS), secure=["example.org"]), Wishes(require_tls=True), "4.4.3"),
        (FakeDns(zone(TLSA=Answer.BOGUS), secure=["example.org"]), Wishes(tls_optional=True), [E, E]),
    ],
)
async def test_wishes(dns: FakeDns, wishes: Wishes, expected: object) -> None:
    assert await told(ways(dns), wishes=wishes) == expected


async def test_requiretls_never_takes_a_way_that_may_be_plain() -> None:
    entry = DomainEntry(ORG, Delivers.RELAY, "o", next_hops=("mx:25",), insecure_plaintext=True)
    assert await told(ways(FakeDns(), book=entry), "confidential", target=ORG) == [Security.OFFERED]
    assert await told(ways(FakeDns(), book=entry), "confidential", Wishes(require_tls=True), target=ORG) == "5.7.10"


@pytest.mark.parametrize(
    ("hosts", "dns", "expected"),
    [
        pytest.param((MX,), FakeDns(ZONE, secure=["example.org"]), [D], id="a listed host"),
        pytest.param((f"{MX}:25",), FakeDns(ZONE, secure=["example.org"]), [D], id="with its port"),
        pytest.param((SECOND, MX), FakeDns(ZONE, secure=["example.org"]), [D], id="one of two"),
        pytest.param((SECOND,), FakeDns(ZONE, secure=["example.org"]), "4.7.5", id="an unsigned host"),
        pytest.param((), FakeDns(ZONE, secure=["example.org"]), [D], id="by MX"),
        pytest.param((), FakeDns(ZONE, secure=[MX]), "4.7.5", id="by an MX that isn't secure"),
        pytest.param((), FakeDns(zone(MX=Answer.BOGUS), secure=["example.org"]), "4.4.3", id="by a bogus MX"),
        pytest.param((MX,), FakeDns(zone(TLSA=Answer.BOGUS), secure=["example.org"]), "4.4.3", id="bogus TLSA"),
        pytest.param((MX,), FakeDns(zone(TLSA=Answer.NO_NAME), secure=["example.org"]), "4.7.5", id="no TLSA"),
        pytest.param(NoWay("4.4.3", "no record now"), FakeDns(), "4.4.3", id="the record can't be had"),
    ],
)
async def test_nta_7516_hosts_are_proven_by_dane_and_by_nothing_else(
    hosts: tuple[str, ...] | NoWay, dns: FakeDns, expected: object
) -> None:
    async def listed(domain: Domain) -> tuple[str, ...] | NoWay:
        assert domain == ORG
        return hosts

    policies = Policies(StsPolicy(ORG, "1", StsMode.ENFORCE, (MX, SECOND), 86400))
    found = ways(dns, policies, nta_hosts=listed)
    assert await told(found, "confidential", target="nta:example.org") == expected
    assert policies.asked == []


@pytest.mark.parametrize(
    ("dns", "proven"),
    [
        (FakeDns(ZONE, secure=["example.org"]), True),
        (FakeDns(ZONE), False),
        (FakeDns(zone(TLSA=Answer.TIMEOUT), secure=["example.org"]), None),
        (FakeDns(zone(MX=Answer.TIMEOUT)), None),
        (FakeDns(zone(MX=Answer.BOGUS)), None),
        (FakeDns(zone(MX=["0 ."])), False),
        (FakeDns(), False),
    ],
)
async def test_whether_a_domain_is_proven(dns: FakeDns, proven: bool | None) -> None:
    assert (await ways(dns).proven(ORG)).proven is proven


async def test_hosts_that_must_not_be_used_are_told_to_the_daily_report() -> None:
    results = Results()
    dns = FakeDns(zone(TLSA=Answer.BOGUS), secure=["example.org"])
    assert await told(ways(dns, results=results)) == [E]
    assert [(one.host, one.failure) for one in results.noted] == [(MX, "dnssec-invalid")]


async def test_of_thousands_of_mail_hosts_a_few_are_asked_about() -> None:
    dns = FakeDns(ZONE | {("example.org", "MX"): [f"10 mx{n}.example.org" for n in range(5000)]})
    assert await told(ways(dns)) == "4.4.4"
    assert len(dns.asked) < 20
