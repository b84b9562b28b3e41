"""The hosts that take a domain's NTA 7516 mail, from its record of this moment."""

from __future__ import annotations

from relayd.clock import Clock
from relayd.delivery.ways import NoWay, NtaHosts
from relayd.directory.nta7516 import standing, today
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain


def nta_hosts(resolver: Resolver, clock: Clock) -> NtaHosts:
    """What :class:`~relayd.delivery.ways.Ways` asks. A record that is gone, unsigned or no longer valid makes mail wait
    that was routed by it; it expires to its sender rather than take a lesser way (NTA 7516 §6.1.2)."""
    records = NtaDns(resolver)

    async def hosts(domain: Domain) -> tuple[str, ...] | NoWay:
        found = standing(await records.look_up(domain), today(clock.now()))
        if found.record is None:
            return NoWay("4.4.3" if found.compliant is None else "4.7.5", found.reason)
        return found.record.hosts

    return hosts
