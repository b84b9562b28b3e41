"""Which next hops a relayed copy may try, in which order, and what each has to prove. Decided at every attempt, from
the directory and DNS of the moment: what was stored is only the domain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from relayd.clock import Clock, SystemClock
from relayd.delivery.client import Hop
from relayd.directory.directory import Directory
from relayd.directory.nta7516 import today
from relayd.dns.hosts import HostFacts, look_at_host
from relayd.dns.records import Answer, MailHosts
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain
from relayd.pipeline.verdict import MessageClass
from relayd.settings.models import NoticeSettings
from relayd.tls.decision import (
    UNPROVEN,
    HostPlan,
    Standing,
    World,
    demand_for_domain,
    demand_for_notice,
    demand_for_nta,
    plan_by_mx,
    plan_mandatory_dane,
    standing,
)
from relayd.tls.demand import NO_WISHES, Override, Overrides, Security, TlsDemand, Wishes
from relayd.tls.results import NoTlsResults, TlsResults
from relayd.tls.sts_policy import NoStsPolicies, StsPolicies

_SMTP: Final = 25
_MX_HOSTS: Final = 5
#: A target that begins so is a domain whose NTA 7516 hosts are asked for, with DANE demanded.
NTA_TARGET: Final = "nta:"


@dataclass(frozen=True, slots=True)
class NoWay:
    """There is no next hop. ``status`` says by its class whether there may be one later."""

    status: str
    reply: str

    @property
    def permanent(self) -> bool:
        return self.status.startswith("5")


#: A plan for each host, or why there is none.
Plans = tuple[HostPlan, ...] | NoWay

#: The hosts ("host" or "host:port") that a domain's NTA 7516 record names, in order of preference; () means its MX.
NtaHosts = Callable[[Domain], Awaitable[tuple[str, ...] | NoWay]]


async def no_nta_hosts(domain: Domain) -> NoWay:
    """Where nobody asks for NTA 7516 records."""
    return NoWay("4.4.4", f"nobody looks up the NTA 7516 record of {domain} here")


class Ways:
    """The directory's and DNS's answer to "where to?"."""

    def __init__(
        self,
        directory: Directory,
        resolver: Resolver,
        notices: NoticeSettings,
        hostname: str,
        *,
        policies: StsPolicies | None = None,
        nta_hosts: NtaHosts = no_nta_hosts,
        overrides: Overrides | None = None,
        results: TlsResults | None = None,
        clock: Clock | None = None,
        port: int = _SMTP,
    ) -> None:
        self._directory = directory
        self._resolver = resolver
        self._notices = notices
        self._hostname = hostname.lower()
        self._policies = policies or NoStsPolicies()
        self._nta_hosts = nta_hosts
        self._overrides = overrides or {}
        self._results = results or NoTlsResults()
        self._clock = clock or SystemClock()
        self._port = port  # where mail hosts listen
        # What the directory alone decides stays the same as long as the directory does.
        self._known: dict[str, tuple[HostPlan, ...]] = {}
        self._hops: dict[str, tuple[Hop, ...]] = {}

    async def to(
        self, target: str, domain: str, message_class: str, wishes: Wishes = NO_WISHES
    ) -> tuple[Hop, ...] | NoWay:
        """The hops for a copy to ``domain`` whose route names ``target``: a domain of the domainbook, "nta:" and a
        domain that NTA 7516's register or record speaks of, or "" for MX."""
        if target in self._hops and not wishes.require_tls:
            return self._hops[target]
        plans = await self.plan(target, domain, message_class, wishes)
        if isinstance(plans, NoWay):
            return plans
        for plan in plans:
            if plan.failure is not None and plan.applied is not None:
                self._results.note(plan.applied.result(plan.host, "", plan.failure, plan.reason))
        hops = tuple(hop for plan in plans if (hop := _hop(plan)) is not None)
        if not hops:
            return _why_not(plans, wishes)
        if wishes.require_tls and any(hop.demand.security is Security.OFFERED for hop in hops):
            return NoWay("5.7.10", "REQUIRETLS was given, and the domainbook allows plain text here")
        if target in self._known:
            self._hops[target] = hops
        return hops

    async def plan(self, target: str, domain: str, message_class: str, wishes: Wishes = NO_WISHES) -> Plans:
        """What :meth:`to` decides from, with the hosts that mustn't be used now and why."""
        if target.startswith(NTA_TARGET):
            return await self._by_nta(Domain(target.removeprefix(NTA_TARGET)))
        if target:
            return await self._by_directory(Domain(target))
        if message_class == MessageClass.NOTICE:
            return await self._notice(Domain(domain))
        return await self._by_mx(Domain(domain), confidential=message_class != MessageClass.ORDINARY, wishes=wishes)

    async def proven(self, domain: Domain) -> Standing:
        """Whether DANE or an enforced MTA-STS policy proves mail hosts of ``domain``."""
        plans = await self._by_mx(domain, confidential=True)
        if isinstance(plans, NoWay):
            return Standing(False if plans.permanent else None, plans.reply)
        return standing(plans)

    async def nta_proven(self, domain: Domain) -> Standing:
        """Whether DANE proves hosts that take NTA 7516 mail of ``domain``."""
        plans = await self._by_nta(domain)
        if isinstance(plans, NoWay):
            return Standing(None if plans.status == "4.4.3" else False, plans.reply)
        return standing(plans)

    async def look(self, domain: Domain) -> tuple[World, tuple[HostFacts, ...]] | NoWay:
        """What DNS says of a domain's mail hosts; MTA-STS isn't asked."""
        found = await self._resolver.mail_hosts(domain)
        hosts = self._usable(domain, found)
        if isinstance(hosts, NoWay):
            return hosts
        facts = await asyncio.gather(*(look_at_host(self._resolver, host, self._port) for host in hosts))
        world = World(domain, found, None, self.override(domain), await self._resolver.known_validation())
        return world, tuple(facts)

    def override(self, domain: Domain) -> Override | None:
        """The operator's override for a domain, while it counts."""
        found = self._overrides.get(domain)
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        return found if found is not None and today <= found.until else None

    async def _by_directory(self, domain: Domain) -> Plans:
        if (entry := self._directory.domainbook.get(domain)) is not None and entry.dane:
            why = f"the domainbook says dane for {domain}"
            return await self._by_mandatory_dane(domain, entry.next_hops, why)
        plans = self._known.get(domain)
        if plans is None:
            plans = self._known[domain] = self._listed(domain)
        return plans or NoWay("4.4.4", f"the domainbook has no next hop for {domain} now")

    def _listed(self, domain: Domain) -> tuple[HostPlan, ...]:
        """The hosts that the directory names, which need no look-up."""
        if (entry := self._directory.domainbook.get(domain)) is not None and entry.next_hops:
            places = [split_host(text) for text in entry.next_hops]
            return tuple(_plain(host, port, demand_for_domain(entry, host)) for host, port in places)
        return ()

    async def _notice(self, domain: Domain) -> Plans:
        demand = demand_for_notice(allow_plaintext=self._notices.allow_plaintext)
        if self._notices.smarthost:
            return (_plain(*split_host(self._notices.smarthost), demand),)
        hosts = self._usable(domain, await self._resolver.mail_hosts(domain))
        if isinstance(hosts, NoWay):
            return hosts
        return tuple(_plain(host, self._port, demand) for host in hosts)

    async def _by_nta(self, domain: Domain) -> Plans:
        """The hosts of a local NTA 7516 entry, else of the domain's record. The way never gets wider than these say:
        what fails here waits."""
        entry = self._directory.nta.get(domain)
        if entry is not None and entry.counts_on(today(self._clock.now())):
            if not entry.allow:
                return NoWay("4.7.5", f"the NTA 7516 register denies {domain}: {entry.reason}")
            places = [split_host(text) for text in entry.hosts]
            return tuple(_plain(host, port, demand_for_nta(entry, host)) for host, port in places)
        why = f"{domain} is reached as NTA 7516 says"
        listed = await self._nta_hosts(domain)
        if isinstance(listed, NoWay):
            return listed
        if not listed:
            found = await self._resolver.mail_hosts(domain)
            hosts = self._usable(domain, found)
            if isinstance(hosts, NoWay):
                return hosts
            if not found.secure:
                return NoWay("4.7.5", f"{why}, by its MX, and DNSSEC doesn't vouch for that")
            listed = hosts
        return await self._by_mandatory_dane(domain, listed, why)

    async def _by_mandatory_dane(self, domain: Domain, hosts: Sequence[str], why: str) -> tuple[HostPlan, ...]:
        places = [split_host(text, self._port) for text in hosts[:_MX_HOSTS]]
        facts = await asyncio.gather(*(look_at_host(self._resolver, host, port) for host, port in places))
        validation = await self._resolver.known_validation()
        return tuple(plan_mandatory_dane(domain, one, why, validation) for one in facts)

    async def _by_mx(self, domain: Domain, *, confidential: bool, wishes: Wishes = NO_WISHES) -> Plans:
        looked = await self.look(domain)
        if isinstance(looked, NoWay):
            return looked
        world, facts = looked
        plans = plan_by_mx(world, facts, confidential=confidential, wishes=wishes)
        if all(plan.proven for plan in plans):
            return plans
        # Only where DANE doesn't settle it for every host is MTA-STS asked: that may take an HTTPS request.
        world = replace(world, policy=await self._policies.policy(domain))
        return plan_by_mx(world, facts, confidential=confidential, wishes=wishes)

    def _usable(self, domain: Domain, found: MailHosts) -> tuple[str, ...] | NoWay:
        """The mail hosts to try, or why there are none."""
        if found.null:
            return NoWay("5.1.10", f"{domain} accepts no mail (null MX)")  # RFC 7505 §4
        if found.answer is Answer.NO_NAME:
            return NoWay("5.1.2", f"{domain} doesn't exist")
        if not found.answer.certain:
            return NoWay("4.4.3", f"looking up the mail hosts of {domain} ended in {found.answer}")
        if not found.hosts:
            return NoWay("4.4.4", f"the MX records of {domain} name no host")
        hosts = found.hosts
        if self._hostname in hosts:
            # RFC 5321 §5.1: only hosts preferred to ourselves are left, else the mail would loop.
            hosts = hosts[: hosts.index(self._hostname)]
            if not hosts:
                return NoWay("5.4.6", f"the mail of {domain} is said to come here, but this domain isn't served")
        return hosts[:_MX_HOSTS]


def _plain(host: str, port: int, demand: TlsDemand) -> HostPlan:
    """A host that needs no look-up to be decided."""
    return HostPlan(host, port, demand.reason, demand, proven=demand.security is Security.VERIFIED)


def _hop(plan: HostPlan) -> Hop | None:
    return Hop(plan.host, plan.port, plan.demand, applied=plan.applied) if plan.demand is not None else None


def _why_not(plans: Sequence[HostPlan], wishes: Wishes) -> NoWay:
    """No host may be used. The most preferred one's reason is told; a host that waits makes the delivery wait."""
    if not plans:
        return NoWay("4.4.4", "no host is named for it now")
    plan = next((plan for plan in plans if plan.undecided), plans[0])
    if wishes.require_tls and plan.status == UNPROVEN:
        return NoWay("5.7.10", f"REQUIRETLS was given, and {plan.reason}")  # RFC 8689 §4.2.1
    return NoWay(plan.status, plan.reason)


def split_host(text: str, default: int = _SMTP) -> tuple[str, int]:
    """ "host:port", "[IPv6]:port" or a host alone, as host and port."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port.lstrip(":") or default)
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host else (text, default)
