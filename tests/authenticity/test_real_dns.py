"""One message's authentication with real servers: nsd behind a validating unbound."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relayd.authenticity.authenticator import MessageAuthenticator
from relayd.authenticity.results import Authentication, Result
from relayd.clock import SystemClock
from relayd.dns.resolver import DnsResolver
from relayd.settings.values import address_and_port
from tests.kit import signed_dns
from tests.kit.dkim import RECORD, signed
from tests.kit.judging import mail
from tests.kit.signed_dns import SignedDns, Signing, Zone

pytestmark = pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available())

_KEY = " ".join(f'"{RECORD.decode()[at : at + 200]}"' for at in range(0, len(RECORD), 200))
#: More than one UDP packet holds: many records at one name, of which one is SPF's.
_LONG = "\n".join(f'long TXT "{number:03d} {"x" * 240}"' for number in range(40))
RECORDS = f"""
@ TXT "v=spf1 include:_spf.@NAME@ " "include:long.@NAME@ -all"
_spf TXT "v=spf1 exists:%{{ir}}.%{{v}}._ip.@NAME@ -all"
9.113.0.203.in-addr._ip A 127.0.0.2
long TXT "v=spf1 ip4:198.51.100.0/24 -all"
{_LONG}
_dmarc TXT "v=DMARC1; p=reject"
s._domainkey TXT {_KEY}
"""


def zone(name: str, signing: Signing = Signing.SIGNED, **spoilt: object) -> Zone:
    return Zone(name, RECORDS.replace("@NAME@", name), signing, **spoilt)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def resolver_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    zones = [
        zone("signed.example"),
        zone("unsigned.example", Signing.UNSIGNED),
        zone("broken.example", Signing.BROKEN),
        zone("spoilt.example", spoilt=[("s._domainkey", "TXT")]),
        zone("lame.example", Signing.LAME),
    ]
    with SignedDns(tmp_path_factory.mktemp("dns"), zones) as dns:
        yield dns.resolver


async def authenticate(resolver_at: str, domain: str, *, sender: str = "") -> Authentication:
    content = signed(f"From: x@{domain}\r\nSubject: Hi\r\n\r\nHello\r\n".encode(), domain.encode())
    dns = DnsResolver(*address_and_port(resolver_at))
    return await MessageAuthenticator(dns, SystemClock()).authenticate(mail(content, sender=sender or f"x@{domain}"))


@pytest.mark.parametrize("domain", ["signed.example", "unsigned.example"])
async def test_what_is_published_is_found(resolver_at: str, domain: str) -> None:
    found = await authenticate(resolver_at, domain)
    assert (found.spf.result, found.spf.reason) == (Result.PASS, f"include:_spf.{domain}")
    assert [one.result for one in found.dkim] == [Result.PASS]
    assert (found.dmarc.result, found.dmarc.policy_domain) == (Result.PASS, domain)


@pytest.mark.parametrize("domain", ["broken.example", "lame.example"])
async def test_an_answer_that_is_forged_or_missing_says_nothing(resolver_at: str, domain: str) -> None:
    found = await authenticate(resolver_at, domain)
    assert found.spf.result is found.dkim[0].result is found.dmarc.result is Result.TEMPERROR


async def test_a_forged_key_leaves_open_who_signed(resolver_at: str) -> None:
    found = await authenticate(resolver_at, "spoilt.example", sender="x@absent.example")
    assert (found.spf.result, found.dkim[0].result, found.dmarc.result) == (
        Result.NONE,
        Result.TEMPERROR,
        Result.TEMPERROR,
    )


async def test_an_answer_that_no_packet_holds_is_asked_for_again(resolver_at: str) -> None:
    dns = DnsResolver(*address_and_port(resolver_at))
    assert len((await dns.texts("long.signed.example")).values) == 41
