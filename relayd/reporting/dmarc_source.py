"""DMARC aggregate reports out: who wants them, whether he may have them, and what is in them (RFC 9990)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from relayd.authenticity.dmarc import DmarcEvaluation, RecordUnknown, organisational_domain
from relayd.authenticity.dmarc_record import parse_record
from relayd.dns.resolver import Resolver
from relayd.reporting.destinations import Destination, Way, parse_uris
from relayd.reporting.dmarc_report import dmarc_report, published_most
from relayd.reporting.dmarc_rows import DmarcRow
from relayd.reporting.heading import Heading
from relayd.store.report_counts import Count, Report

log = structlog.get_logger("relayd.reporting")

_row = msgspec.json.Decoder(DmarcRow)
_VERSION: Final = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(;|\Z)")
_LONGEST_NAME: Final = 253


class Organisations(Protocol):
    """Where domains belong together."""

    async def organisational_domain(self, domain: str) -> str | None:
        """The organisational domain of ``domain`` (RFC 9989 §4.10.2); None when DNS can't tell now."""
        ...


class TreeWalk:
    """Implements Organisations by DMARC's own walk."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def organisational_domain(self, domain: str) -> str | None:
        try:
            return organisational_domain(domain, await DmarcEvaluation(self._resolver).walk(domain))
        except RecordUnknown:
            return None


class DmarcSource:
    """Implements Source for DMARC."""

    def __init__(self, resolver: Resolver, organisations: Organisations) -> None:
        self._resolver = resolver
        self._organisations = organisations

    async def destinations(self, report: Report) -> tuple[Destination, ...] | None:
        """By ``rua`` of the record that the day's messages met, each after its own consent where it is needed."""
        counted = _rows(report.counts)
        if not counted:
            return ()
        wanted: list[Destination] = []
        for one in parse_uris(dict(published_most(counted)).get("rua", "")):
            if one.way is Way.MAIL:  # RFC 9990 knows no other way
                agreed = await self._agreed(report.domain, one)
                if agreed is None:
                    return None
                wanted += agreed
        return tuple(dict.fromkeys(wanted))

    def report(self, heading: Heading, counts: Iterable[Count]) -> bytes | None:
        counted = _rows(counts)
        return dmarc_report(heading, counted) if counted else None

    async def _agreed(self, domain: str, destination: Destination) -> Sequence[Destination] | None:
        """Where reports on ``domain`` go for this destination: an outside host has to say that it wants them, and may
        name another address of its own (RFC 9990, verifying external destinations). None when DNS can't tell now."""
        host = destination.host
        if host == domain:
            return (destination,)
        ours = await self._organisations.organisational_domain(domain)
        theirs = await self._organisations.organisational_domain(host)
        if ours is None or theirs is None:
            return None
        if ours == theirs:
            return (destination,)
        name = f"{domain}._report._dmarc.{host}"
        if len(name) > _LONGEST_NAME:
            return ()
        found = await self._resolver.texts(name)
        if not found.answer.certain:
            return None
        records = [text for text in found.values if _VERSION.match(text)]
        if not records:
            log.info("report_unwanted", kind="dmarc", domain=domain, reason=f"{host} doesn't say that it takes it")
            return ()
        return _overridden(destination, records)


def _overridden(destination: Destination, records: Sequence[bytes]) -> Sequence[Destination]:
    """What the consenting records name in place of ``destination``. An address at another host means that nobody gets
    it, so that consent isn't passed on to a victim."""
    named = [found for record in records for found in parse_uris(parse_record(record).tag("rua"))]
    if not named:
        return (destination,)
    mails = [one for one in named if one.way is Way.MAIL]
    return mails if all(one.host == destination.host for one in mails) else ()


def _rows(counts: Iterable[Count]) -> list[tuple[DmarcRow, int]]:
    rows = []
    for one in counts:
        try:
            rows.append((_row.decode(one.facts), one.count))
        except msgspec.MsgspecError:
            continue  # counted by another version of relayd
    return rows
