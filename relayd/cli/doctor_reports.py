"""``relayd doctor``: do reports reach us, and are ours trusted?"""

from __future__ import annotations

from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli.findings import Finding, Level
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain, parse_address
from relayd.settings.models import Configuration


async def reports(configuration: Configuration, resolver: Resolver) -> list[Finding]:
    """Whether the reports' address is served, and whether its domain has a key."""
    if not configuration.reports.address:
        return []
    findings = []
    domain = parse_address(configuration.reports.address).domain
    if domain not in DkimKeyFiles(configuration.keys).domains():
        text = f"{domain} has no DKIM key: receivers don't believe reports that nobody signed"
        findings.append(Finding("reports", Level.WARN, text, f"relayd dkim create {domain}"))
    advice = "let its MX name this host, relay the address here from there, or choose an address of another domain"
    if text := await why_not_here(configuration, resolver, domain, "reports don't reach relayd"):
        findings.append(Finding("reports", Level.WARN, text, advice))
    return findings or [Finding("reports", Level.OK, f"{domain} is served, and its mail is signed")]


async def why_not_here(configuration: Configuration, resolver: Resolver, domain: Domain, so: str) -> str:
    """Why mail for ``domain`` doesn't come to this host, as far as DNS tells, and ``so`` what follows; "" when it
    does."""
    found = await resolver.mail_hosts(domain)
    if not found.answer.certain:
        return f"the mail hosts of {domain} can't be looked up ({found.answer})"
    if configuration.hostname.lower() not in found.hosts:
        hosts = ", ".join(found.hosts[:3]) or "nowhere"
        return f"mail for {domain} goes to {hosts}, not to {configuration.hostname}: {so}"
    return ""
