"""What DNS says about one mail host: its addresses, and the TLSA records that hold for it (RFC 7672 §2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from relayd.dns.records import Addresses, Answer, Records, Tlsa, is_host_name
from relayd.dns.resolver import Resolver


@dataclass(frozen=True, slots=True)
class HostFacts:
    """``tlsa`` is the answer for ``base``, the TLSA base domain (RFC 7672 §2.2.3). None where nothing was asked,
    because the host's name isn't in a secure zone: DANE says nothing about such a host."""

    host: str
    port: int
    addresses: Addresses
    base: str = ""
    tlsa: Records[Tlsa] | None = None


async def look_at_host(resolver: Resolver, host: str, port: int) -> HostFacts:
    """Ask for the addresses, then for TLSA records at each base domain until one has some."""
    addresses = await resolver.addresses(host)
    if addresses.answer is not Answer.FOUND:
        return HostFacts(host, port, addresses)
    bases = await _bases(resolver, host, addresses)
    if isinstance(bases, Answer):
        return HostFacts(host, port, addresses, host, Records(bases))
    first: HostFacts | None = None
    for base in bases:
        found = await resolver.tlsa(f"_{port}._tcp.{base}")
        facts = HostFacts(host, port, addresses, base, found)
        if not found.answer.certain or (found.secure and found.values):
            return facts
        first = first or facts
    return first or HostFacts(host, port, addresses)


async def _bases(resolver: Resolver, host: str, addresses: Addresses) -> tuple[str, ...] | Answer:
    """Where TLSA records may stand: the name behind all aliases when every alias is secure, then the host's own.
    Or the answer that kept it from being known."""
    aliased = is_host_name(addresses.canonical) and addresses.canonical != host.lower().rstrip(".")
    if addresses.secure:
        return (addresses.canonical, host) if aliased else (host,)
    if not aliased:
        return ()
    # The alias itself may be secure though what it points to isn't: then its own name still is a base domain.
    alias = await resolver.look_up(host, "CNAME")
    if not alias.answer.certain:
        return alias.answer
    return (host,) if alias.secure else ()
