"""A worker's part in reporting: what it counts, how that gets into the store, and the reports that it sends."""

from __future__ import annotations

import asyncio
import contextlib

from relayd.daemon.services import Services
from relayd.delivery.folder import FolderRoute
from relayd.directory.directory import Directory
from relayd.dns.resolver import Resolver
from relayd.errors import StoreUnavailable
from relayd.reporting.counts import Flusher, Kind, Tally
from relayd.reporting.dmarc_rows import DmarcRow, DmarcTally
from relayd.reporting.dmarc_source import DmarcSource, TreeWalk
from relayd.reporting.post import HttpsPoster
from relayd.reporting.route import ReportRoute
from relayd.reporting.sender import ReportSender
from relayd.reporting.tls_source import TlsSource
from relayd.settings.models import Configuration
from relayd.tls.results import TlsResult


def report_route(configuration: Configuration, directory: Directory) -> ReportRoute:
    """The route for reports that reach us."""
    settings = configuration.reports
    folder = configuration.folders.get(settings.unreadable)
    return ReportRoute(
        lambda domain: domain == configuration.hostname or directory.about_us(domain),
        settings.keep.total_seconds(),
        FolderRoute(folder.path) if folder else None,
    )


class Reporting:
    """``tls`` takes the results of sessions with receiving servers, ``dmarc`` the observations of messages."""

    def __init__(self, services: Services, resolver: Resolver) -> None:
        self.tls: Tally[TlsResult] = Tally(Kind.TLS, services.clock, lambda result: result.domain)
        self._rows: Tally[DmarcRow] = Tally(Kind.DMARC, services.clock, lambda row: row.policy_domain)
        self.dmarc = DmarcTally(self._rows)
        self._services = services
        self._resolver = resolver
        self._flusher = Flusher(services.store, services.owner, (self.tls, self._rows))
        self._sender = ReportSender(
            store=services.store,
            composer=services.composer,
            in_force=lambda: services.in_force,
            sources={Kind.TLS: TlsSource(resolver), Kind.DMARC: DmarcSource(resolver, TreeWalk(resolver))},
            poster=self._poster,
            clock=services.clock,
            random=services.random.random,
            wake=lambda: services.lanes.wake(),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.reload()

    def _poster(self) -> HttpsPoster:
        configuration = self._services.in_force.configuration
        return HttpsPoster(self._resolver, configuration.tls.trusted_ca, configuration.reports.private_networks)

    def reload(self) -> None:
        """Count what the configuration in force wants reported."""
        reports = self._services.in_force.configuration.reports
        self.tls.wanted = bool(reports.address) and reports.tls
        self._rows.wanted = bool(reports.address) and reports.dmarc

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._flusher.run()), asyncio.create_task(self._sender.run())]

    async def stop(self) -> None:
        """End, with a last flush. To be called when nothing is counted any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await self._flusher.flush()
