"""Which addresses a name that a stranger chose may lead us to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address


def may_be_asked(text: str, private_networks: Sequence[IPv4Network | IPv6Network] = ()) -> bool:
    """Whether an IP address is on the public internet, or in one of ``private_networks``: a name in DNS mustn't make
    relayd knock on doors inside its own network."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_global and not address.is_multicast:
        return True
    return any(address in network for network in private_networks)
