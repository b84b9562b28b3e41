"""``relayd doctor`` on NTA 7516: do our own entries still count, and does DNS say the same?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from relayd.cli.findings import Finding, Level
from relayd.directory.directory import Directory
from relayd.directory.nta7516 import NtaRecord, Published, standing, today
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.resolver import Resolver

_SOON: Final = timedelta(days=30)


async def nta7516(directory: Directory, resolver: Resolver, now: float) -> list[Finding]:
    """What there is to say about each organisation that states its compliance."""
    records = NtaDns(resolver)
    own = directory.nta_provider.own
    asked = [(name, domain) for name in own for domain in sorted(directory.organisations[name].domains)]
    published = await asyncio.gather(*(records.look_up(domain) for _, domain in asked))
    findings = [finding for name, record in own.items() for finding in _entry(name, record, now)]
    for (name, _), one in zip(asked, published, strict=True):
        findings.append(_domain(name, own[name], one, now))
    return findings


def _entry(name: str, record: NtaRecord, now: float) -> Iterator[Finding]:
    day, advice = today(now), "give it a new end in nta7516.yaml, and publish the record again"
    if day > record.end:
        text = f"{name}'s entry ended on {record.end}: its mail to others goes to the Viewer"
        yield Finding("nta7516", Level.WARN, text, advice)
    elif record.end - day < _SOON:
        yield Finding("nta7516", Level.WARN, f"{name}'s entry ends on {record.end}", advice)


def _domain(name: str, record: NtaRecord, published: Published, now: float) -> Finding:
    """Whether others see of a domain what its organisation states."""
    advice = f"publish what relayd nta7516 record {name} prints, in a zone signed with DNSSEC"
    if not published.answer.certain or published.secure is None:
        return Finding("nta7516", Level.WARN, standing(published, today(now)).reason, "look again later")
    if published.reading.record is None:
        return Finding("nta7516", Level.WARN, f"{published.domain} publishes {published.reading.text}", advice)
    if published.reading.record != record:
        return Finding("nta7516", Level.WARN, f"{published.domain} publishes another record than {name}'s", advice)
    if not published.secure:
        return Finding("nta7516", Level.WARN, f"{published.domain}: DNSSEC doesn't vouch for its record", advice)
    return Finding("nta7516", Level.OK, f"{published.domain} publishes {name}'s record, signed with DNSSEC")
