"""``relayd doctor``: do answers reach the Viewer's own addresses, and are readers' own believed?"""

from __future__ import annotations

from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli.doctor_reports import why_not_here
from relayd.cli.findings import Finding, Level
from relayd.dns.resolver import Resolver
from relayd.settings.models import Configuration


async def viewer_addresses(configuration: Configuration, resolver: Resolver) -> list[Finding]:
    """Whether mail for the Viewer's domain comes here, and whether the domain has a key. Nothing of a Viewer that is
    off, or on this machine alone."""
    if not configuration.viewer.enabled or not configuration.viewer.url.startswith("https:"):
        return []
    domain = configuration.viewer_mail_domain
    findings = []
    if domain not in DkimKeyFiles(configuration.keys).domains():
        text = f"{domain} has no DKIM key: what readers write may be taken for forged"
        findings.append(Finding("viewer", Level.WARN, text, f"relayd dkim create {domain}"))
    if text := await why_not_here(configuration, resolver, domain, "nobody can answer a reader, and no report comes"):
        findings.append(Finding("viewer", Level.WARN, text, f"publish what relayd records {domain} prints"))
    return findings or [Finding("viewer", Level.OK, f"mail for {domain} comes here, and what readers write is signed")]
