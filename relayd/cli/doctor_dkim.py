"""``relayd doctor`` on DKIM: do the keys open, does DNS show them, is our own mail signed?"""

from __future__ import annotations

from relayd.authenticity.dkim_keys import DomainKeys
from relayd.authenticity.dkim_store import DkimKeyFiles, open_signers
from relayd.cli.dkim_advice import advice, notices_domain, see, unsigned
from relayd.cli.findings import Finding, Level
from relayd.dns.resolver import Resolver
from relayd.errors import VaultError
from relayd.mail.address import Domain
from relayd.settings.models import Configuration
from relayd.vault.keyring import Keyring


async def dkim(configuration: Configuration, resolver: Resolver, now: float) -> list[Finding]:
    """What there is to say about every domain with keys, and about the one that notices come from."""
    findings: list[Finding] = []
    files = DkimKeyFiles(configuration.keys)
    found: list[tuple[Domain, DomainKeys]] = []
    for domain in files.domains():
        try:
            keys = files.read(domain)
            open_signers(Keyring.load(configuration.keys), keys)
            found.append((domain, keys))
        except VaultError as error:
            findings.append(Finding("dkim", Level.BAD, str(error), "restore the keys folder, or make new keys"))
    seen = await see(resolver, found)
    for domain, keys in found:
        todo = advice(domain, keys, seen, now)
        findings += [Finding("dkim", Level.WARN, f"{domain}: {text}", f"relayd dkim show {domain}") for text in todo]
        if not todo and keys.signing:
            findings.append(Finding("dkim", Level.OK, f"{domain} is signed with {keys.signing.selector}, as DNS shows"))
    ours = notices_domain(configuration)
    if not any(domain == ours and keys.signing for domain, keys in found):
        findings.append(Finding("dkim", Level.WARN, unsigned(ours), "else receivers that ask for DMARC may drop them"))
    return findings
