"""``relayd doctor`` on DANE: do the TLSA records of our own mail ports fit the certificate that we show there?"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from relayd.cli.findings import Finding, Level
from relayd.daemon.sockets import split_address
from relayd.dns.hosts import HostFacts, look_at_host
from relayd.dns.records import Records, Tlsa
from relayd.dns.resolver import Resolver
from relayd.settings.models import Configuration
from relayd.tls.dane import match, usable


async def dane(configuration: Configuration, resolver: Resolver, now: float) -> list[Finding]:
    """One finding for each port on which other servers bring mail, where DNS has TLSA records for it."""
    try:
        certificates = x509.load_pem_x509_certificates(configuration.tls.certificate.read_bytes())
    except (OSError, ValueError):
        return []  # the certificate's own finding says so
    chain = [one.public_bytes(Encoding.DER) for one in certificates]
    ports = sorted({split_address(one.address)[1] for one in configuration.listeners if one.kind == "relay"})
    facts = [await look_at_host(resolver, configuration.hostname, port) for port in ports]
    at = datetime.fromtimestamp(now, UTC)
    return [
        _finding(one, one.tlsa, chain, at)
        for one in facts
        if one.tlsa is not None and (one.tlsa.values or not one.tlsa.answer.certain)
    ]


def _finding(facts: HostFacts, tlsa: Records[Tlsa], chain: list[bytes], now: datetime) -> Finding:
    name = f"_{facts.port}._tcp.{facts.base}"
    if not tlsa.answer.certain:
        text = f"looking up {name} ended in {tlsa.answer}: senders that go by DANE hold mail back"
        return Finding("dane", Level.BAD, text, "mend the zone's signatures; relayd dane shows what others see")
    if not usable(tlsa.values):
        text = f"{name} has TLSA records, and none is usable: they prove nothing"
        return Finding("dane", Level.WARN, text, "publish the TLSA record that relayd records prints")
    found = match(chain, tlsa.values, (facts.base, facts.host), now)
    if found.by:
        return Finding("dane", Level.OK, f"{name} fits our certificate ({found.by})")
    text = f"{name} doesn't fit our certificate: senders that go by DANE hold mail back"
    return Finding("dane", Level.BAD, text, "publish the TLSA record that relayd records prints beside the old one now")
