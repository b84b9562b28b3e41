"""Which next hops a relayed copy may try, in which order, and what each has to prove. Decided at every attempt, from
the directory of the moment: what was stored is only the domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relayd.delivery.client import Hop
from relayd.directory.directory import Directory
from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain
from relayd.pipeline.verdict import MessageClass
from relayd.settings.models import NoticeSettings
from relayd.tls.decision import TlsDemand, demand_for_domain, demand_for_notice, demand_for_nta, demand_for_ordinary

_SMTP: Final = 25
_MX_HOSTS: Final = 5


@dataclass(frozen=True, slots=True)
class NoWay:
    """There is no next hop. ``status`` says by its class whether there may be one later."""

    status: str
    reply: str

    @property
    def permanent(self) -> bool:
        return self.status.startswith("5")


class Ways:
    """The directory's and DNS's answer to "where to?"."""

    def __init__(self, directory: Directory, resolver: Resolver, notices: NoticeSettings, hostname: str) -> None:
        self._directory = directory
        self._resolver = resolver
        self._notices = notices
        self._hostname = hostname.lower()
        self._known: dict[str, tuple[Hop, ...]] = {}

    async def to(self, target: str, domain: str, message_class: str) -> tuple[Hop, ...] | NoWay:
        """The hops for a copy to ``domain`` whose route names ``target`` (a domain of the domainbook or the NTA 7516
        register; "" for MX)."""
        if target:
            return self._by_directory(Domain(target))
        if message_class == MessageClass.NOTICE:
            demand = demand_for_notice(allow_plaintext=self._notices.allow_plaintext)
            if self._notices.smarthost:
                host, port = split_host(self._notices.smarthost)
                return (Hop(host, port, demand),)
            return await self._by_mx(Domain(domain), demand)
        if message_class == MessageClass.ORDINARY:
            return await self._by_mx(Domain(domain), demand_for_ordinary())
        # A name from unsigned DNS proves nothing, so confidential mail never goes by MX.
        return NoWay("4.4.4", "confidential mail needs a next hop from the domainbook")

    def _by_directory(self, domain: Domain) -> tuple[Hop, ...] | NoWay:
        hops = self._known.get(domain)
        if hops is None:
            hops = self._known[domain] = self._listed(domain)
        return hops or NoWay("4.4.4", f"neither domainbook nor NTA 7516 register has a next hop for {domain} now")

    def _listed(self, domain: Domain) -> tuple[Hop, ...]:
        if (entry := self._directory.domainbook.get(domain)) is not None and entry.next_hops:
            places = [split_host(text) for text in entry.next_hops]
            return tuple(Hop(host, port, demand_for_domain(entry, host)) for host, port in places)
        if (nta := self._directory.nta.get(domain)) is not None and nta.allow:
            places = [split_host(text) for text in nta.hosts]
            return tuple(Hop(host, port, demand_for_nta(nta, host)) for host, port in places)
        return ()

    async def _by_mx(self, domain: Domain, demand: TlsDemand) -> tuple[Hop, ...] | NoWay:
        found = await self._resolver.mail_hosts(domain)
        if found.null:
            return NoWay("5.1.10", f"{domain} accepts no mail (null MX)")  # RFC 7505 §4
        if found.answer is Answer.NO_NAME:
            return NoWay("5.1.2", f"{domain} doesn't exist")
        if not found.hosts:
            return NoWay("4.4.3", f"looking up the mail hosts of {domain} ended in {found.answer}")
        hosts = found.hosts
        if self._hostname in hosts:
            # RFC 5321 §5.1: only hosts preferred to ourselves are left, else the mail would loop.
            hosts = hosts[: hosts.index(self._hostname)]
            if not hosts:
                return NoWay("5.4.6", f"the mail of {domain} is said to come here, but this domain isn't served")
        return tuple(Hop(host, _SMTP, demand) for host in hosts[:_MX_HOSTS])


def split_host(text: str) -> tuple[str, int]:
    """ "host:port", "[IPv6]:port" or a host alone, as host and port."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port.lstrip(":") or _SMTP)
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host else (text, _SMTP)
