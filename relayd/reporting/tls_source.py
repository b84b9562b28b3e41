"""TLS reports out: who wants them, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import structlog

from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid
from relayd.reporting.destinations import Destination, tls_destinations
from relayd.reporting.heading import Heading
from relayd.reporting.tls_report import tls_report
from relayd.store.report_counts import Count, Report
from relayd.tls.results import TlsResult

log = structlog.get_logger("relayd.reporting")

_result = msgspec.json.Decoder(TlsResult)


class TlsSource:
    """Implements Source for TLSRPT."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def destinations(self, report: Report) -> tuple[Destination, ...] | None:
        """By the record at ``_smtp._tls`` of the domain (RFC 8460 §3)."""
        found = await self._resolver.texts(f"_smtp._tls.{report.domain}")
        if not found.answer.certain:
            return None
        if found.answer is not Answer.FOUND:
            return ()
        try:
            return tls_destinations(found.values)
        except SyntaxInvalid as error:
            log.info("report_unwanted", kind="tls", domain=report.domain, reason=str(error))
            return ()

    def report(self, heading: Heading, counts: Iterable[Count]) -> bytes | None:
        results = list(_results(counts))
        return tls_report(heading, results) if results else None


def _results(counts: Iterable[Count]) -> Iterator[tuple[TlsResult, int]]:
    for one in counts:
        try:
            yield _result.decode(one.facts), one.count
        except msgspec.MsgspecError:
            continue  # counted by another version of relayd
