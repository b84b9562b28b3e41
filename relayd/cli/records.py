"""``relayd records``: everything that DNS should say of a domain whose mail relayd handles."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from relayd.authenticity.dkim_keys import State, record
from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.dkim_advice import notices_domain
from relayd.cli.outside import domain_of
from relayd.cli.records_check import Shown, Standing, look
from relayd.cli.table import table
from relayd.clock import SystemClock
from relayd.daemon.sockets import split_address
from relayd.directory.directory import Directory
from relayd.directory.load import build
from relayd.dns.publish import zone_line
from relayd.dns.records import Tlsa
from relayd.dns.resolver import DnsResolver
from relayd.errors import RelaydError
from relayd.mail.address import Domain, parse_address
from relayd.settings.load import load
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from relayd.tls.certificate import spki_sha256
from relayd.tls.mta_sts import record_name
from relayd.tls.sts_publish import published

_TTL: Final = 3600
_EPILOG: Final = """\
examples:
  relayd records clinic.example            lines for the zone file
  relayd records clinic.example --check    asks DNS whether it shows them
  relayd records clinic.example --json
The TLSA record is of the key in tls.certificate: before that key changes, publish the next one's beside it.
exit status: 0 done, or all are there; 1 the domain isn't ours, or DNS doesn't show them all
"""


@dataclass(frozen=True, slots=True)
class Published:
    """One record. ``note`` says what to mind."""

    name: str
    type: str
    text: str
    note: str = ""

    def __str__(self) -> str:
        line = f"{self.name}. {_TTL} IN {self.type} {self.text}"
        if self.type == "TXT":
            line = zone_line(self.name, self.text)
        return f"{line} ; {self.note}" if self.note else line


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``records``."""
    parser = commands.add_parser(
        "records",
        help="print the DNS records to publish for a domain of ours",
        description="Print what DNS should say of a domain that relayd sends or receives mail for: MX and TLSA where "
        "its mail comes here, SPF, DKIM, DMARC, MTA-STS, where reports go, and NTA 7516, as far as the configuration "
        "has them. Publish the keys' records before they sign: relayd dkim tells when.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN", help="a mail domain of an organisation here")
    parser.add_argument("--check", action="store_true", help="ask DNS which of them are there")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    loaded = load(Path(arguments.config))
    directory, domain = build(loaded), domain_of(arguments.domain)
    found = list(records(loaded.configuration, directory, domain))
    if arguments.check:
        resolver = DnsResolver(*address_and_port(loaded.configuration.resolver))
        return _check(found, asyncio.run(look(resolver, found)), as_json=arguments.json)
    if arguments.json:
        print_json([asdict(one) for one in found])
    else:
        print("\n".join(map(str, found)))
    return 0


def _check(wanted: Sequence[Published], shown: Sequence[Shown], *, as_json: bool) -> int:
    pairs = list(zip(wanted, shown, strict=True))
    if as_json:
        print_json([asdict(one) | {"state": seen.state, "found": seen.text} for one, seen in pairs])
    else:
        print(table(("STATE", "TYPE", "NAME", ""), [(s.state, one.type, one.name, s.text) for one, s in pairs]))
        for one, seen in pairs:
            if seen.state in (Standing.OTHER, Standing.MISSING):
                print(f"publish: {one}")
    return 0 if all(seen.state is Standing.THERE for seen in shown) else 1


def records(configuration: Configuration, directory: Directory, domain: Domain) -> Iterator[Published]:
    """All of them. Raises RelaydError for a domain that isn't ours."""
    owner = directory.owner(domain)
    if owner is None and directory.is_the_viewers(domain):
        # The Viewer's own addresses: readers' answers leave from there, and senders' come back.
        yield from _receiving(configuration, directory, domain)
        yield from _sending(configuration, domain)
        return
    if owner is None:
        raise RelaydError(f"{domain} isn't among the domains of an organisation here")
    if directory.served(domain) is not None:
        yield from _receiving(configuration, directory, domain)
    yield from _sending(configuration, domain)
    if address := configuration.reports.address:
        yield from _reports(domain, address, parse_address(address).domain)
    if (nta := directory.nta_provider.own.get(owner.id)) is not None:
        yield Published(domain, "TXT", str(nta), "counts only where the zone is signed")


def _receiving(configuration: Configuration, directory: Directory, domain: Domain) -> Iterator[Published]:
    host = configuration.hostname.lower()
    yield Published(domain, "MX", f"10 {host}.")
    key = Tlsa(3, 1, 1, bytes.fromhex(_key_digest(configuration.tls.certificate)))
    for listener in configuration.listeners:
        if listener.kind == "relay":
            port = split_address(listener.address)[1]
            yield Published(f"_{port}._tcp.{host}", "TLSA", str(key), "counts only where the zone is signed")
    if (policy := published(directory, configuration.hostname, domain)) is not None:
        note = f"once relayd mta-sts {domain} --publish is served"
        yield Published(record_name(domain), "TXT", f"v=STSv1; id={policy.id};", note)


def _sending(configuration: Configuration, domain: Domain) -> Iterator[Published]:
    host = configuration.hostname.lower()
    yield Published(domain, "TXT", f"v=spf1 a:{host} -all", "with whatever else sends for the domain")
    reports = configuration.reports.address
    asked = f"; rua=mailto:{reports}" if reports else ""
    yield Published(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=reject{asked}", "p=none first, where others send too")
    now = SystemClock().now()
    for keys in DkimKeyFiles(configuration.keys).read(domain).sets:
        if keys.state(now) in (State.WAITING, State.SIGNING):
            for key in keys.keys:
                found = record(domain, key, reports=domain == notices_domain(configuration))
                yield Published(found.name, "TXT", found.text)


def _reports(domain: Domain, address: str, host: Domain) -> Iterator[Published]:
    """What brings others' reports to ``address`` at ``host``, beside ``rua`` in the DMARC record."""
    name, text = tls_record(domain, address)
    yield Published(name, "TXT", text)
    if host != domain and not host.endswith(f".{domain}"):
        # RFC 9990: who gets reports about other domains has to say that it wants them.
        yield Published(f"{domain}._report._dmarc.{host}", "TXT", "v=DMARC1", "in the zone of the reports' address")


def tls_record(domain: Domain, address: str) -> tuple[str, str]:
    """Name and text of the TXT record that asks for TLS reports to ``address`` (RFC 8460 §3)."""
    return f"_smtp._tls.{domain}", f"v=TLSRPTv1; rua=mailto:{address}"


def _key_digest(file: Path) -> str:
    try:
        leaf = x509.load_pem_x509_certificates(file.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise RelaydError(f"{file} can't be read as a certificate ({type(error).__name__})") from error
    return spki_sha256(leaf.public_bytes(Encoding.DER))
