"""Which network an address is in: the longest prefix wins."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic, TypeVar

V = TypeVar("V")


class NetworkTable(Generic[V]):
    """Networks and what they stand for. Immutable; a lookup costs one dictionary access per prefix length in use."""

    __slots__ = ("_by_length", "_lengths")

    def __init__(self, entries: Iterable[tuple[IPv4Network | IPv6Network, V]] = ()) -> None:
        self._by_length: dict[tuple[int, int], dict[int, V]] = {}
        for network, value in entries:
            level = self._by_length.setdefault((network.version, network.prefixlen), {})
            level[int(network.network_address)] = value
        self._lengths = {
            version: sorted((length for kind, length in self._by_length if kind == version), reverse=True)
            for version in (4, 6)
        }

    def find(self, address: IPv4Address | IPv6Address) -> V | None:
        """What the smallest network around ``address`` stands for."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number = int(address)
        for length in self._lengths[address.version]:
            shift = address.max_prefixlen - length
            found = self._by_length[address.version, length].get(number >> shift << shift)
            if found is not None:
                return found
        return None
