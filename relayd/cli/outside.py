"""What a command needs to ask DNS and the web as the daemon does: the resolver, put to the test, and the ways."""

from __future__ import annotations

from relayd.clock import SystemClock
from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.routes import build_ways
from relayd.delivery.ways import Ways
from relayd.directory.directory import Directory
from relayd.directory.load import build
from relayd.dns.records import Validation
from relayd.dns.resolver import DnsResolver
from relayd.dns.validation import Tested, probe
from relayd.errors import RelaydError, SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain
from relayd.settings.load import Loaded
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from relayd.tls.mta_sts import StsReason
from relayd.tls.sts_fetch import StsSource, sts_source
from relayd.tls.sts_policy import StsMode, StsPolicy


class FetchedPolicies:
    """MTA-STS policies as their web servers have them now; what the daemon has kept isn't looked at."""

    def __init__(self, source: StsSource) -> None:
        self._source = source
        self._had: dict[Domain, StsPolicy | None] = {}

    async def policy(self, domain: Domain) -> StsPolicy | None:
        if domain not in self._had:
            self._had[domain] = await self._fetched(domain)
        return self._had[domain]

    async def _fetched(self, domain: Domain) -> StsPolicy | None:
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


def as_others_see(configuration: Configuration, directory: Directory, domain: Domain) -> Configuration:
    """For the ways to a domain that we serve ourselves: a delivery by MX would leave out ourselves and those behind
    us, since mail would go round in circles; others come to us."""
    if directory.served(domain) is None:
        return configuration
    return configuration.model_copy(update={"hostname": ""})


def ways_now(loaded: Loaded, resolver: DnsResolver, port: int = 25, *, to: Domain | None = None) -> Ways:
    """The ways out as DNS, MTA-STS and the configuration have them now. ``to`` is the domain that is asked about."""
    configuration, directory = loaded.configuration, build(loaded)
    clock = SystemClock()
    if to is not None:
        configuration = as_others_see(configuration, directory, to)
    return build_ways(
        configuration,
        directory,
        resolver,
        clock,
        policies=FetchedPolicies(sts_source(configuration, resolver)),
        nta_hosts=nta_hosts(resolver, clock),
        port=port,
    )


def domain_of(text: str) -> Domain:
    """The domain that a command was given. Raises RelaydError."""
    try:
        return normalise_domain(text)
    except SyntaxInvalid as error:
        raise RelaydError(f"{text} isn't a domain: {error}") from error
