"""All routes of a configuration, by the name that a delivery carries. Built anew on reload."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from relayd.clock import Clock, SystemClock
from relayd.delivery.client import Hop
from relayd.delivery.folder import FolderRoute
from relayd.delivery.mailbox import LmtpRoute, Lookup, MaildirRoute
from relayd.delivery.mllp import SystemRoute
from relayd.delivery.pool import Pool
from relayd.delivery.relay import RelayRoute
from relayd.delivery.ways import NtaHosts, Ways, no_nta_hosts, split_host
from relayd.directory.directory import Directory
from relayd.dns.resolver import Resolver
from relayd.mail.address import is_address
from relayd.pipeline.verdict import RouteKind
from relayd.queue.outcome import Job, Outcome, Result, Route
from relayd.settings.models import Configuration, MailboxSettings
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import Security, TlsDemand, overrides_of
from relayd.tls.results import TlsResults
from relayd.tls.sts_policy import StsPolicies


class ByTarget:
    """Picks the store or folder that the delivery's target names."""

    def __init__(self, kind: str, routes: Mapping[str, Route]) -> None:
        self._kind = kind
        self._routes = routes

    async def deliver(self, job: Job) -> list[Outcome]:
        target = job.deliveries[0].target
        route = self._routes.get(target)
        if route is not None:
            return await route.deliver(job)
        # It may be back after the next reload.
        words = f"no {self._kind} is called {target!r} in the configuration"
        return [Outcome(d.number, Result.DEFERRED, "4.3.5", words) for d in job.deliveries]

    async def close(self) -> None:
        for route in self._routes.values():
            await route.close()


def build_ways(
    configuration: Configuration,
    directory: Directory,
    resolver: Resolver,
    clock: Clock | None = None,
    *,
    policies: StsPolicies | None = None,
    nta_hosts: NtaHosts = no_nta_hosts,
    results: TlsResults | None = None,
    port: int = 25,
) -> Ways:
    """The ways out under this configuration; ``port`` is where mail hosts listen."""
    return Ways(
        directory,
        resolver,
        configuration.notices,
        configuration.hostname,
        policies=policies,
        nta_hosts=nta_hosts,
        overrides=overrides_of(configuration.tls_overrides),
        results=results,
        clock=clock,
        port=port,
    )


def build_routes(
    configuration: Configuration,
    directory: Directory,
    resolver: Resolver,
    ways: Ways,
    clock: Clock | None = None,
    results: TlsResults | None = None,
) -> dict[str, Route]:
    """``relay``, ``mailbox``, ``folder`` and ``system``; relayed sessions are told to ``results``."""
    contexts = ClientTls(configuration.tls.trusted_ca)
    mailboxes = {
        name: _mailbox(configuration, settings, directory, contexts, resolver, clock or SystemClock())
        for name, settings in configuration.mailboxes.items()
    }
    folders = {name: FolderRoute(settings.path) for name, settings in configuration.folders.items()}
    systems = {
        name: SystemRoute(settings, configuration.tls.certificate, configuration.tls.key, resolver)
        for name, settings in configuration.systems.items()
    }
    return {
        RouteKind.RELAY.value: RelayRoute(ways, _pool(configuration, contexts, resolver, results)),
        RouteKind.MAILBOX.value: ByTarget("mailbox store", mailboxes),
        RouteKind.FOLDER.value: ByTarget("folder", folders),
        RouteKind.SYSTEM.value: ByTarget("system", systems),
    }


def _pool(
    configuration: Configuration, contexts: ClientTls, resolver: Resolver, results: TlsResults | None = None
) -> Pool:
    queue = configuration.queue
    return Pool(
        configuration.hostname,
        contexts,
        resolver,
        per_hop=queue.connections_per_next_hop,
        total=queue.connections,
        idle=queue.connection_idle.total_seconds(),
        results=results,
    )


def _mailbox(
    configuration: Configuration,
    settings: MailboxSettings,
    directory: Directory,
    contexts: ClientTls,
    resolver: Resolver,
    clock: Clock,
) -> Route:
    lookup: Lookup = directory.mailboxes.get
    if settings.lmtp:
        return LmtpRoute(lmtp_hop(settings.lmtp), _pool(configuration, contexts, resolver), lookup)
    return MaildirRoute(settings.maildir or Path("/nonexistent"), lookup, clock, configuration.hostname)


def lmtp_hop(text: str) -> Hop:
    """Where LMTP goes. On this machine it may be in the clear; another machine has to prove its name."""
    if text.startswith("unix:"):
        return Hop("localhost", 0, TlsDemand(Security.OFFERED), text.removeprefix("unix:"), lmtp=True)
    host, port = split_host(text)
    here = host == "localhost" or (is_address(host) and ip_address(host).is_loopback)
    demand = TlsDemand(Security.OFFERED) if here else TlsDemand(Security.VERIFIED, (host,))
    return Hop(host, port, demand, lmtp=True)
