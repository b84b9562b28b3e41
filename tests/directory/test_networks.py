"""The network table agrees with trying every network in turn."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from relayd.directory.networks import NetworkTable

NETWORKS = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(st.lists(NETWORKS, max_size=20), st.integers(0, 2**32 - 1))
def test_the_longest_prefix_wins(networks: list[IPv4Network], number: int) -> None:
    address = ip_address(number)
    around = [network for network in networks if address in network]
    expected = max(around, key=lambda network: network.prefixlen) if around else None
    assert NetworkTable((network, network) for network in networks).find(address) == expected


def test_an_ipv6_address_is_not_in_an_ipv4_network() -> None:
    table = NetworkTable([(ip_network("0.0.0.0/1"), "low")])
    assert table.find(ip_address("::1")) is None
    assert table.find(ip_address("::ffff:1.2.3.4")) == "low"
