"""What must hold of the parsers of what strangers publish and write about who they are."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from relayd.authenticity.dkim_dns import Published, compare
from relayd.authenticity.dkim_keys import StoredKey
from relayd.authenticity.spf import MOST_LOOKUPS, SpfQuestion, check_host
from relayd.directory.nta7516 import read
from relayd.dns.records import Answer, Records
from relayd.mail.address import is_address
from tests.kit.dns import FakeDns


def spf(data: bytes) -> None:
    """Any record has a result, costs no more questions than the limits allow, and explains itself in ASCII."""
    dns = FakeDns(
        {("d.example", "TXT"): [data], ("h.example", "A"): ["192.0.2.9"], ("h.example", "MX"): ["1 h.example"]}
    )
    asked = SpfQuestion(ip_address("192.0.2.1"), "jan+x", "d.example", "h.example")
    found = asyncio.run(check_host(dns, asked, explain=True))
    assert found.lookups <= MOST_LOOKUPS + 1
    assert len(dns.asked) <= 1 + MOST_LOOKUPS * (MOST_LOOKUPS + 1) + MOST_LOOKUPS + 1
    assert found.spf.reason.isascii()
    assert found.spf.reason.isprintable()


def nta7516(data: bytes) -> None:
    """A record that counts can be written so that it reads the same, and names hosts that a certificate can prove."""
    reading = read([data])
    assert reading.text.isprintable()
    if reading.record is not None:
        assert read([str(reading.record).encode()]).record == reading.record
        assert read([data, data]).record is None
        assert all("." in host and not is_address(host) for host in reading.record.hosts)


def dkim_record(data: bytes) -> None:
    """Whatever stands in DNS, it is our key only with our key in it."""
    key = StoredKey("rsa", "s", b"\x01\x02\x03", "", b"")
    published, text = compare(Records(Answer.FOUND, (data,)), key)
    assert (published is Published.SHOWN) == (text == "")
    assert published is not Published.SHOWN or b"AQID" in bytes(octet for octet in data if octet > 32)
