"""What a command needs to ask DNS and the web as the daemon does: the resolver, put to the test, and the ways."""

from __future__ import annotations

from relayd.clock import SystemClock
from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.routes import build_ways
from relayd.delivery.ways import Ways
from relayd.directory.load import build
from relayd.dns.records import Validation
from relayd.dns.resolver import DnsResolver
from relayd.dns.validation import Tested, probe
from relayd.mail.address import Domain
from relayd.settings.load import Loaded
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from relayd.tls.mta_sts import StsReason
from relayd.tls.sts_fetch import HttpsStsSource
from relayd.tls.sts_policy import StsMode, StsPolicy


class FetchedPolicies:
    """MTA-STS policies as their web servers have them now; what the daemon has kept isn't looked at."""

    def __init__(self, source: HttpsStsSource) -> None:
        self._source = source

    async def policy(self, domain: Domain) -> StsPolicy | None:
        record = await self._source.record(domain)
        if record.reason is not StsReason.FOUND:
            return None
        policy = (await self._source.fetch(domain, record.id)).policy
        return policy if policy is not None and policy.mode is not StsMode.NONE else None


class SelfTestingResolver(DnsResolver):
    """The configured resolver, put to the test as soon as it matters whether it validates."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(*address_and_port(configuration.resolver))
        self._names = configuration.dnssec
        self._found: Tested | None = None

    async def tested(self) -> Tested:
        """What the test found."""
        if self._found is None:
            self._found = await probe(self.ask_anew, self._names.signed_name, self._names.broken_name)
            self.validation = self._found.validation
        return self._found

    async def known_validation(self) -> Validation:
        return (await self.tested()).validation


def ways_now(loaded: Loaded, resolver: DnsResolver, port: int = 25) -> Ways:
    """The ways out as DNS, MTA-STS and the configuration have them now."""
    configuration = loaded.configuration
    clock = SystemClock()
    source = HttpsStsSource(resolver, configuration.tls.trusted_ca, configuration.mta_sts.private_networks)
    return build_ways(
        configuration,
        build(loaded),
        resolver,
        clock,
        policies=FetchedPolicies(source),
        nta_hosts=nta_hosts(resolver, clock),
        port=port,
    )
