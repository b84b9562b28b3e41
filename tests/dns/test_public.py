"""A stranger's name leads nowhere inside our own network, whatever its address is dressed up as."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from relayd.dns.public import may_be_asked


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.43.8", True),
        ("2a00:1450::1", True),
        ("64:ff9b::192.0.43.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff0e::1", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::127.0.0.1", False),
        ("64:ff9b::10.1.2.3", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_the_public_internet_may_be_asked(address: str, allowed: bool) -> None:
    assert may_be_asked(address) is allowed


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
def test_a_private_network_that_is_named_may_be_asked(address: str) -> None:
    assert may_be_asked(address, [ip_network("10.1.0.0/16")])
    assert not may_be_asked(address, [ip_network("10.2.0.0/16")])
