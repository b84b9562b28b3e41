"""A mail worker: listens, judges, commits, delivers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from functools import partial

import structlog

from relayd.clock import SystemClock
from relayd.daemon.connections import Connections, Seat
from relayd.daemon.control import ControlChannel
from relayd.daemon.deriving import Deriving
from relayd.daemon.in_force import prepare
from relayd.daemon.intake import Intake
from relayd.daemon.mllp import MllpIntake
from relayd.daemon.rejudge import rejudge
from relayd.daemon.reporting import Reporting, report_route
from relayd.daemon.services import Services, open_blobs, open_vault
from relayd.daemon.sockets import Listening
from relayd.delivery.bounce import BounceRoute
from relayd.delivery.installation import InstallationSecrets
from relayd.delivery.notices import Notices
from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.routes import build_routes, build_ways
from relayd.delivery.viewer import ViewerRoute
from relayd.delivery.ways import Ways
from relayd.directory.credentials import DirectoryCredentials
from relayd.directory.directory import Directory
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.resolver import DnsResolver, Resolver
from relayd.dns.validation import Watch
from relayd.errors import ConfigurationError
from relayd.inspection.inspector import ProcessInspector
from relayd.mllp.session import MllpSession
from relayd.pipeline.verdict import RouteKind
from relayd.queue.attempt import SealedContents
from relayd.queue.composer import Composer
from relayd.queue.outcome import Route
from relayd.queue.reports import Reports
from relayd.queue.scheduler import Lanes
from relayd.rendering.renderer import ProcessRenderer
from relayd.settings.load import Loaded
from relayd.settings.values import address_and_port
from relayd.smtp.listener import ListenerServer, listen
from relayd.smtp.server import Session
from relayd.smtp.service import Service
from relayd.store.client import StoreClient
from relayd.tls.contexts import ServerTls
from relayd.tls.sts_cache import KeptStsPolicies
from relayd.tls.sts_fetch import sts_source

log = structlog.get_logger("relayd.worker")

#: Made before the workers are forked, so that all of them disguise unknown accounts alike.
_DISGUISE = os.urandom(32)
#: Octets of decoded attachments in inspection at once, all workers together.
_INSPECTION_BUDGET = 256 * 2**20
#: How long sessions may finish their transaction, and then deliveries, when we stop: in seconds, together less than
#: the supervisor's grace.
_DRAIN = (15.0, 10.0)
#: The same when the supervisor has died: the next one waits for our sockets and our deliveries.
_ORPHAN_DRAIN = (2.0, 3.0)


class Worker:
    """One worker's parts, and how they change and end."""

    def __init__(self, number: int, seat: Seat, loaded: Loaded, channel: socket.socket) -> None:
        configuration = loaded.configuration
        self.resolver = DnsResolver(*address_and_port(configuration.resolver))
        self.validation = Watch(self.resolver, configuration.dnssec.signed_name, configuration.dnssec.broken_name)
        self.services = services = _services(number, seat, loaded, self.resolver)
        self.secrets = InstallationSecrets(services.store, services.vault)
        self.reporting = Reporting(services, self.resolver)
        services.dmarc = self.reporting.dmarc
        self.policies = KeptStsPolicies(
            sts_source(configuration, self.resolver), services.store, services.clock, self.reporting.tls
        )
        services.ways = self._ways()
        self.renderer = ProcessRenderer()
        self.reporter = Reports(services.composer, lambda: services.in_force, services.clock)
        services.lanes = Lanes(
            store=services.store,
            contents=SealedContents(services.vault, services.blobs),
            routes=self._routes(),
            settings=configuration.queue,
            clock=services.clock,
            owner=services.owner,
            reporter=self.reporter,
            rejudge=partial(rejudge, services),
            derive=Deriving(services, self.renderer),
        )
        self.tls = ServerTls(configuration.tls)
        self.control = ControlChannel(channel, self.reload)
        self.listeners: list[tuple[Listening, ListenerServer]] = []

    def _ways(self) -> Ways:
        in_force = self.services.in_force
        return build_ways(
            in_force.configuration,
            in_force.directory,
            self.resolver,
            self.services.clock,
            policies=self.policies,
            nta_hosts=nta_hosts(self.resolver, self.services.clock),
            results=self.reporting.tls,
        )

    def _routes(self) -> dict[str, Route]:
        services = self.services
        in_force = services.in_force
        routes = build_routes(
            in_force.configuration,
            in_force.directory,
            self.resolver,
            services.ways,
            services.clock,
            self.reporting.tls,
        )
        routes[RouteKind.VIEWER.value] = ViewerRoute(
            in_force.configuration,
            lambda: services.in_force.directory,
            services.vault,
            services.composer,
            services.clock,
            self.secrets,
            lambda: services.in_force.signers,
        )
        routes[RouteKind.BOUNCE.value] = BounceRoute(
            services.store,
            services.composer,
            self.reporter,
            Notices(in_force.configuration, lambda: services.in_force.signers),
            lambda: services.in_force.directory,
            services.clock,
        )
        routes[RouteKind.REPORT.value] = report_route(in_force.configuration, in_force.directory)
        return routes

    async def run(self, listening: list[Listening]) -> None:
        await self.control.start()
        self.validation.start()
        await self.services.store.connect()
        await self.services.lanes.start()
        self.policies.start()
        self.reporting.start()
        for item in listening:
            server = listen(
                [item.socket], self._service(item), MllpSession if item.settings.kind == "mllp" else Session
            )
            self.listeners.append((item, server))
        self.control.ready()
        await self.control.stopped.wait()
        for_sessions, for_deliveries = _ORPHAN_DRAIN if self.control.orphaned else _DRAIN
        await asyncio.gather(*(server.drain(for_sessions) for _, server in self.listeners))
        await self.services.lanes.drain(for_deliveries)
        await self.policies.close()
        await self.reporting.stop()
        await self.validation.stop()
        await self.services.inspector.close()
        await self.renderer.close()
        await self.services.blobs.close()
        await self.services.store.close()

    async def reload(self, loaded: Loaded) -> None:
        """Swap what is in force. Sessions and deliveries in progress finish as they began."""
        try:
            fresh = prepare(loaded)
        except ConfigurationError as error:
            # The supervisor has tried the same before; only a file that changed in between ends here.
            log.error("reload refused", problems=len(error.problems))
            return
        self.services.in_force = fresh
        self.policies.source = sts_source(fresh.configuration, self.resolver)
        self.reporting.reload()
        self.services.ways = self._ways()
        self.services.lanes.reload(fresh.configuration.queue, self._routes())
        for item, server in self.listeners:
            server.service = self._service(item)

    def _service(self, item: Listening) -> Service:
        configuration = self.services.in_force.configuration
        mllp = item.settings.kind == "mllp"
        return Service(
            hostname=configuration.hostname,
            settings=item.settings,
            limits=configuration.limits,
            door=partial(MllpIntake, self.services, self.secrets) if mllp else partial(Intake, self.services),
            tls=self.tls.context,
            crowded=self.services.seat.crowded,
        )


def _services(number: int, seat: Seat, loaded: Loaded, resolver: Resolver) -> Services:
    configuration = loaded.configuration
    in_force = prepare(loaded)
    clock = SystemClock()
    # A new life is a new owner: what the last one held is the supervisor's and the lease's to free.
    owner = f"w{number}-{os.urandom(4).hex()}"
    store = StoreClient(configuration.state / "store.sock")
    vault, blobs = open_vault(configuration), open_blobs(configuration, owner, clock)

    def directory() -> Directory:
        return services.in_force.directory

    services = Services(
        owner=owner,
        seat=seat,
        in_force=in_force,
        store=store,
        vault=vault,
        blobs=blobs,
        clock=clock,
        random=random.SystemRandom(),
        inspector=ProcessInspector(budget=_INSPECTION_BUDGET // (configuration.workers or os.cpu_count() or 1)),
        resolver=resolver,
        nta=NtaDns(resolver),
        credentials=DirectoryCredentials(
            directory, store, lambda: services.in_force.configuration.limits.auth_failures, _DISGUISE
        ),
        composer=Composer(
            vault, blobs, directory, clock, configuration.retention.days, lambda: services.in_force.signers
        ),
    )
    return services


async def run_worker(
    number: int, connections: Connections, loaded: Loaded, listening: list[Listening], channel: socket.socket
) -> None:
    """Serve until told to stop."""
    await Worker(number, connections.seat(number), loaded, channel).run(listening)
