"""What must hold of the parsers of what strangers publish and write about who they are."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from relayd.authenticity.spf import MOST_LOOKUPS, SpfQuestion, check_host
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
