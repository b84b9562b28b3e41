"""What a real validating resolver says of signed, unsigned, broken and spoilt names, and how we read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relayd.dns.records import Answer
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import Domain
from relayd.settings.values import address_and_port
from tests.kit import signed_dns
from tests.kit.signed_dns import SignedDns, Signing, Zone

pytestmark = pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available())

RECORDS = "@ MX 10 mx\nmx A 192.0.2.1\nalias CNAME mx\n_25._tcp.mx TLSA 3 1 1 " + "ab" * 32


@pytest.fixture(scope="module")
def resolver_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    zones = [
        Zone("signed.example", RECORDS),
        Zone("unsigned.example", RECORDS, Signing.UNSIGNED),
        Zone("broken.example", RECORDS, Signing.BROKEN),
        Zone("spoilt.example", RECORDS, spoilt=[("_25._tcp.mx", "TLSA")]),
    ]
    with SignedDns(tmp_path_factory.mktemp("dns"), zones) as dns:
        yield dns.resolver


@pytest.mark.parametrize(
    ("domain", "hosts", "addresses", "tlsa"),
    [
        ("signed.example", (Answer.FOUND, True), (Answer.FOUND, True), (Answer.FOUND, True)),
        ("unsigned.example", (Answer.FOUND, False), (Answer.FOUND, False), (Answer.FOUND, False)),
        ("broken.example", (Answer.BOGUS, False), (Answer.BOGUS, False), (Answer.BOGUS, False)),
        ("spoilt.example", (Answer.FOUND, True), (Answer.FOUND, True), (Answer.BOGUS, False)),
        ("absent.example", (Answer.NO_NAME, True), (Answer.NO_NAME, True), (Answer.NO_NAME, True)),
    ],
)
async def test_what_validation_says(
    resolver_at: str,
    domain: str,
    hosts: tuple[Answer, bool],
    addresses: tuple[Answer, bool],
    tlsa: tuple[Answer, bool],
) -> None:
    resolver = DnsResolver(*address_and_port(resolver_at))
    found = await resolver.mail_hosts(Domain(domain))
    assert (found.answer, found.secure) == hosts
    where = await resolver.addresses(f"mx.{domain}")
    assert (where.answer, where.secure) == addresses
    records = await resolver.tlsa(f"_25._tcp.mx.{domain}")
    assert (records.answer, records.secure) == tlsa


async def test_that_there_is_none_can_be_secure_too(resolver_at: str) -> None:
    resolver = DnsResolver(*address_and_port(resolver_at))
    for host, secure in (("mx.signed.example", True), ("mx.unsigned.example", False)):
        none = await resolver.tlsa(f"_587._tcp.{host}")
        assert (none.answer, none.secure) == (Answer.NO_NAME, secure)
        other = await resolver.look_up(host, "AAAA")
        assert (other.answer, other.secure) == (Answer.NO_DATA, secure)


async def test_an_alias_leads_to_its_canonical_name(resolver_at: str) -> None:
    resolver = DnsResolver(*address_and_port(resolver_at))
    found = await resolver.addresses("alias.signed.example")
    assert (found.canonical, found.secure) == ("mx.signed.example", True)
