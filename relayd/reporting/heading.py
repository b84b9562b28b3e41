"""Who reports, on what, and when: what both kinds of reports say of themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from relayd.mail.address import parse_address
from relayd.reporting.counts import Kind
from relayd.settings.models import Configuration
from relayd.store.report_counts import start_of


@dataclass(frozen=True, slots=True)
class Heading:
    """One report's frame. ``organisation`` and ``contact`` are ours, ``sender`` is its From address, ``domain`` whom
    it is about, ``day`` the UTC day that it covers."""

    kind: Kind
    organisation: str
    contact: str
    sender: str
    domain: str
    day: str

    @property
    def submitter(self) -> str:
        """Our domain (RFC 8460 §5.3: the same in header, file name and contact)."""
        return parse_address(self.sender).domain

    @property
    def begin(self) -> int:
        return int(start_of(self.day))

    @property
    def end(self) -> int:
        """The last second of the day."""
        return self.begin + 86399

    @property
    def id(self) -> str:
        """The same for every try, so that a receiver knows a report that comes twice."""
        said = f"{self.kind}\0{self.submitter}\0{self.domain}\0{self.day}"
        return f"{self.day}.{hashlib.sha256(said.encode()).hexdigest()[:16]}@{self.submitter}"

    @property
    def filename(self) -> str:
        """RFC 8460 §5.1, and RFC 9990's, which are of one form."""
        extension = "json" if self.kind is Kind.TLS else "xml"
        return f"{self.submitter}!{self.domain}!{self.begin}!{self.end}.{extension}.gz"

    @property
    def media_type(self) -> str:
        """What the compressed report is."""
        return "application/tlsrpt+gzip" if self.kind is Kind.TLS else "application/gzip"


def heading(configuration: Configuration, kind: Kind, domain: str, day: str) -> Heading:
    """The frame of our report. The settings must have an address."""
    reports = configuration.reports
    return Heading(
        kind=kind,
        organisation=reports.organisation or configuration.hostname,
        contact=reports.contact or reports.address,
        sender=reports.address,
        domain=domain,
        day=day,
    )
