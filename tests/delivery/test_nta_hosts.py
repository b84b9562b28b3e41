"""The way of NTA 7516 at each attempt: hosts by the record or register of the moment, proven or waiting."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.ways import NoWay, Ways
from relayd.directory.directory import Directory, NtaEntry
from relayd.dns.records import Answer, Validation
from relayd.mail.address import Domain
from relayd.pipeline.verdict import MessageClass
from relayd.settings.models import NoticeSettings
from relayd.tls.demand import Security, Wishes
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock

CLINIC = Domain("clinic.example")
NOW = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
CURRENT = "v=NTA7516-1;startdate=2026-11;enddate=2026-11;provider=x"
TLSA = "3 1 1 " + "ab" * 32


def zone(*texts: str, **others: object) -> FakeDns:
    records = {
        ("clinic.example", "TXT"): texts,
        ("clinic.example", "MX"): ["10 mx.clinic.example"],
        ("mx.clinic.example", "A"): ["192.0.2.1"],
        ("_25._tcp.mx.clinic.example", "TLSA"): [TLSA],
        ("nta.clinic.example", "A"): ["192.0.2.2"],
        ("_25._tcp.nta.clinic.example", "TLSA"): [TLSA],
        ("other.clinic.example", "A"): ["192.0.2.3"],
        ("host.unsigned.org", "A"): ["192.0.2.4"],
        ("_25._tcp.host.unsigned.org", "TLSA"): [TLSA],
        ("slow.clinic.example", "A"): ["192.0.2.5"],
        ("_25._tcp.slow.clinic.example", "TLSA"): Answer.TIMEOUT,
    }
    return FakeDns(records | dict(others.get("more", {})), secure=["clinic.example"])  # type: ignore[arg-type, call-overload]


def ways(dns: FakeDns, *entries: NtaEntry) -> Ways:
    clock = FrozenClock(NOW)
    directory = Directory({}, {}, {one.domain: one for one in entries}, {}, {})
    return Ways(directory, dns, NoticeSettings(), "relay.example", nta_hosts=nta_hosts(dns, clock), clock=clock)


async def to(found: Ways, wishes: Wishes | None = None) -> tuple[list[tuple[str, int, Security]], str]:
    """The hops, or the status of there being none."""
    hops = await found.to("nta:clinic.example", "clinic.example", MessageClass.CONFIDENTIAL, wishes or Wishes())
    if isinstance(hops, NoWay):
        return [], hops.status
    return [(hop.host, hop.port, hop.demand.security) for hop in hops], ""


MX = "mx.clinic.example", 25, Security.DANE
NTA = "nta.clinic.example", 25, Security.DANE


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(CURRENT, ([MX], ""), id="no ntamx: MX"),
        pytest.param(CURRENT + ";ntamx=10 nta.clinic.example", ([NTA], ""), id="ntamx instead of MX"),
        pytest.param(
            CURRENT + ";ntamx=20 mx.clinic.example;ntamx=10 nta.clinic.example", ([NTA, MX], ""), id="by preference"
        ),
        pytest.param(
            CURRENT + ";ntamx=10 other.clinic.example;ntamx=20 nta.clinic.example", ([NTA], ""), id="one without TLSA"
        ),
        pytest.param(CURRENT + ";ntamx=10 other.clinic.example", ([], "4.7.5"), id="none with TLSA: not by MX either"),
        pytest.param(CURRENT + ";ntamx=10 host.unsigned.org", ([], "4.7.5"), id="TLSA in an unsigned zone"),
        pytest.param(CURRENT + ";ntamx=10 slow.clinic.example", ([], "4.4.3"), id="TLSA can't be asked"),
        pytest.param(CURRENT.replace("2026-11", "2026-10"), ([], "4.7.5"), id="ended since it was routed"),
        pytest.param("v=spf1 -all", ([], "4.7.5"), id="gone since it was routed"),
    ],
)
async def test_hosts_by_the_record_of_this_moment(record: str, expected: object) -> None:
    assert await to(ways(zone(record))) == expected


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({("clinic.example", "TXT"): Answer.BOGUS}, "4.4.3"),
        ({("clinic.example", "TXT"): Answer.TIMEOUT}, "4.4.3"),
        ({("clinic.example", "MX"): Answer.FAILED}, "4.4.3"),
        ({("clinic.example", "MX"): ["10 host.unsigned.org"]}, "4.7.5"),
    ],
)
async def test_what_dns_cannot_tell_makes_it_wait(more: object, status: str) -> None:
    assert await to(ways(zone(CURRENT, more=more))) == ([], status)


async def test_an_unsigned_record_is_no_way() -> None:
    dns = zone(CURRENT)
    dns.secure = ()
    assert await to(ways(dns)) == ([], "4.7.5")


@pytest.mark.parametrize("validation", [Validation.OFF, Validation.UNTESTED])
async def test_a_resolver_that_is_not_known_to_validate_is_no_way(validation: Validation) -> None:
    dns = zone(CURRENT)
    dns.validation = validation
    hops, status = await to(ways(dns))
    assert (hops, status[:2]) == ([], "4.")


@pytest.mark.parametrize("wishes", [Wishes(tls_optional=True), Wishes(require_tls=True)])
async def test_no_wish_of_the_sender_weakens_it(wishes: Wishes) -> None:
    assert await to(ways(zone(CURRENT)), wishes) == ([MX], "")
    assert (await to(ways(zone("v=spf1 -all")), wishes))[0] == []


async def test_a_local_entry_is_asked_first_while_it_counts() -> None:
    allow = NtaEntry(CLINIC, True, "agreed", hosts=("gate.clinic.example:26",))
    deny = NtaEntry(CLINIC, False, "forwards")
    assert await to(ways(zone(), allow)) == ([("gate.clinic.example", 26, Security.VERIFIED)], "")
    assert await to(ways(zone(CURRENT), deny)) == ([], "4.7.5")
    ended = NtaEntry(CLINIC, False, "forwards", date(2026, 11, 22))
    assert await to(ways(zone(CURRENT), ended)) == ([MX], "")


@pytest.mark.parametrize(
    ("record", "more", "proven"),
    [
        (CURRENT, {}, True),
        (CURRENT + ";ntamx=10 other.clinic.example;ntamx=20 nta.clinic.example", {}, True),
        (CURRENT + ";ntamx=10 other.clinic.example", {}, False),
        (CURRENT + ";ntamx=10 slow.clinic.example", {}, None),
        (CURRENT, {("clinic.example", "MX"): Answer.TIMEOUT}, None),
        (CURRENT, {("clinic.example", "MX"): ["10 host.unsigned.org"]}, False),
        ("v=spf1 -all", {}, False),
    ],
)
async def test_whether_a_way_exists_is_known_before_it_is_chosen(
    record: str, more: object, proven: bool | None
) -> None:
    assert (await ways(zone(record, more=more)).nta_proven(CLINIC)).proven is proven
