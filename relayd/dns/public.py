"""Which addresses a name that a stranger chose may lead us to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

#: What NAT64 makes of IPv4 addresses, private ones too.
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
#: IPv4-compatible and site-local addresses: nobody's on the internet, though Python says that they are global.
_NOWHERE: Final = (IPv6Network("::/96"), IPv6Network("fec0::/10"))


def may_be_asked(text: str, private_networks: Sequence[IPv4Network | IPv6Network] = ()) -> bool:
    """Whether an IP address is on the public internet, or in one of ``private_networks``: a name in DNS mustn't make
    relayd knock on doors inside its own network."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        address = _inside(address) or address
    if address.is_global and not address.is_multicast and not any(address in network for network in _NOWHERE):
        return True
    return any(address in network for network in private_networks)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that this one stands for, if any."""
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped
