"""DNS answers, from a small server that says what it is told to: no two kinds of "no" are confused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from relayd.dns.records import Addresses, Answer, MailHosts
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import Domain

ZONE = {
    ("ok.example.", "MX"): ["20 MX2.ok.example.", "10 mx1.ok.example."],
    ("null.example.", "MX"): ["0 ."],
    ("host.example.", "A"): ["192.0.2.1"],
    ("host.example.", "AAAA"): ["2001:db8::1"],
    ("four.example.", "A"): ["192.0.2.4"],
    ("halffail.example.", "A"): [],
}
NAMES = {name for name, _ in ZONE} | {"implicit.example.", "signed.example."}


class Zone(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), question.rdtype.name
        if name == "silent.example.":
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name == "broken.example." or (name == "halffail.example." and kind == "AAAA"):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif ZONE.get((name, kind)):
            response.answer.append(dns.rrset.from_text(name, 300, "IN", kind, *ZONE[name, kind]))
        elif name == "signed.example." and kind == "MX":
            response.flags |= dns.flags.AD
            response.answer.append(dns.rrset.from_text(name, 300, "IN", kind, "10 mx.signed.example."))
        elif name not in NAMES:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(response.to_wire(), addr)  # type: ignore[attr-defined]


@pytest.fixture
async def zone() -> AsyncIterator[tuple[Zone, DnsResolver]]:
    transport, zone = await asyncio.get_running_loop().create_datagram_endpoint(Zone, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    yield zone, DnsResolver("127.0.0.1", port, timeout=0.4)
    transport.close()


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("ok.example", MailHosts(Answer.FOUND, ("mx1.ok.example", "mx2.ok.example"), canonical="ok.example")),
        ("signed.example", MailHosts(Answer.FOUND, ("mx.signed.example",), secure=True, canonical="signed.example")),
        ("null.example", MailHosts(Answer.FOUND, null=True, canonical="null.example")),
        (
            "implicit.example",
            MailHosts(Answer.FOUND, ("implicit.example",), implicit=True, canonical="implicit.example"),
        ),
        ("absent.example", MailHosts(Answer.NO_NAME)),
        ("broken.example", MailHosts(Answer.FAILED)),
        ("silent.example", MailHosts(Answer.TIMEOUT)),
        ("[192.0.2.9]", MailHosts(Answer.FOUND, ("192.0.2.9",), implicit=True)),
        ("[IPv6:2001:db8::9]", MailHosts(Answer.FOUND, ("2001:db8::9",), implicit=True)),
    ],
)
async def test_mail_hosts(zone: tuple[Zone, DnsResolver], domain: str, expected: MailHosts) -> None:
    assert await zone[1].mail_hosts(Domain(domain)) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("host.example", Addresses(Answer.FOUND, ("2001:db8::1", "192.0.2.1"), canonical="host.example")),
        ("four.example", Addresses(Answer.FOUND, ("192.0.2.4",), canonical="four.example")),
        ("implicit.example", Addresses(Answer.NO_DATA, canonical="implicit.example")),
        ("absent.example", Addresses(Answer.NO_NAME)),
        ("broken.example", Addresses(Answer.FAILED)),
        ("halffail.example", Addresses(Answer.FAILED, canonical="halffail.example")),
        ("silent.example", Addresses(Answer.TIMEOUT)),
        ("192.0.2.7", Addresses(Answer.FOUND, ("192.0.2.7",))),
        ("localhost", Addresses(Answer.FOUND, ("::1", "127.0.0.1"))),
    ],
)
async def test_addresses(zone: tuple[Zone, DnsResolver], host: str, expected: Addresses) -> None:
    assert await zone[1].addresses(host) == expected


async def test_answers_are_kept_for_their_time(zone: tuple[Zone, DnsResolver]) -> None:
    for _ in range(3):
        await zone[1].mail_hosts(Domain("ok.example"))
    assert zone[0].asked == 1
