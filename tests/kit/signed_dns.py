"""Real DNS on loopback: nsd serves a root and zones under it, unbound validates them from one trust anchor.

A zone is signed, unsigned (its parent proves that it has no keys), or broken (its parent names another key). Single
record sets of a signed zone can be spoilt: their signatures don't hold. Names outside the zones don't exist, so that
no question leaves this machine.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from unittest import mock

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.tlsabase import TLSABase

from tests.kit.ports import free_port
from tests.kit.process import Child
from tests.kit.wait import wait_for

TTL = 60
_DAY = 86400


class Signing(StrEnum):
    """What DNSSEC says of a zone."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    BROKEN = "broken"
    #: Delegated to a server that isn't there: the resolver can't find out.
    LAME = "lame"


@dataclass(frozen=True, slots=True)
class Zone:
    """``records`` are lines of a master file, their names relative to ``name`` ("@" is the zone itself). ``spoilt``
    lists (relative name, type) of record sets whose signatures are to be wrong."""

    name: str
    records: str
    signing: Signing = Signing.SIGNED
    spoilt: Sequence[tuple[str, str]] = ()


def available() -> str:
    """ "" when both servers are installed, else what is missing."""
    absent = [name for name in ("nsd", "unbound") if not shutil.which(name, path="/usr/sbin:/usr/bin")]
    return f"{' and '.join(absent)} not installed" if absent else ""


class SignedDns:
    """Both servers, running. ``resolver`` is what relayd's setting of that name takes.

    ``address`` and ``port`` are unbound's: programs that read resolv.conf know port 53 only.
    """

    def __init__(self, folder: Path, zones: Iterable[Zone], *, address: str = "127.0.0.1", port: int = 0) -> None:
        self._folder = folder
        self._zones = tuple(zones)
        self.address = address
        self.port = port or free_port()
        self._authority, self._nobody = free_port(), free_port()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._dnskey = dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)
        folder.mkdir(parents=True, exist_ok=True)
        self._nsd = self._start_nsd()
        self._unbound = self._start_unbound()

    @property
    def resolver(self) -> str:
        host = f"[{self.address}]" if ipaddress.ip_address(self.address).version == 6 else self.address
        return f"{host}:{self.port}"

    def __enter__(self) -> SignedDns:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def change(self, *zones: Zone) -> None:
        """Serve these instead of the zones of the same names; everything that was cached is forgotten."""
        fresh = {zone.name: zone for zone in zones}
        self._zones = tuple(fresh.pop(zone.name, zone) for zone in self._zones) + tuple(fresh.values())
        self.stop()
        self._nsd = self._start_nsd()
        self._unbound = self._start_unbound()

    def stop(self) -> None:
        self._unbound.stop()
        self._nsd.stop()

    # -- the authority

    def _start_nsd(self) -> Child:
        root = "@ SOA ns. hostmaster. 1 3600 600 86400 60\n@ NS ns.\nns. A 127.0.0.1\n"
        for zone in self._zones:
            root += f"{zone.name}. NS ns.{zone.name}.\nns.{zone.name}. A 127.0.0.1\n" + self._delegation(zone)
        served = {".": self._signed(".", root, ())}
        for zone in self._zones:
            if zone.signing is Signing.LAME:
                continue
            text = f"@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n{zone.records}\n"
            if zone.signing is Signing.UNSIGNED:
                served[zone.name] = _parsed(zone.name, text).to_text(relativize=False)
            else:
                served[zone.name] = self._signed(zone.name, text, zone.spoilt)
        lines = [
            "server:",
            f"  ip-address: 127.0.0.1@{self._authority}",
            f'  zonesdir: "{self._folder}"',
            '  username: ""',
            '  chroot: ""',
            '  database: ""',
            f'  pidfile: "{self._folder}/nsd.pid"',
            f'  xfrdfile: "{self._folder}/xfrd.state"',
            f'  zonelistfile: "{self._folder}/zone.list"',
            f'  logfile: "{self._folder}/nsd.log"',
            f'  xfrdir: "{self._folder}"',
            "  server-count: 1",
            "remote-control:",
            "  control-enable: no",
        ]
        for number, (name, text) in enumerate(served.items()):
            (self._folder / f"{number}.zone").write_text(text)
            lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{number}.zone"']
        configuration = self._folder / "nsd.conf"
        configuration.write_text("\n".join(lines) + "\n")
        child = Child(["/usr/sbin/nsd", "-d", "-c", configuration], self._folder / "nsd.out")
        wait_for(lambda: _answers("127.0.0.1", self._authority), f"nsd: {child.output}")
        return child

    def _delegation(self, zone: Zone) -> str:
        """The parent's DS, which is what signs a zone in the eyes of the world."""
        if zone.signing in (Signing.UNSIGNED, Signing.LAME):
            return ""
        key = self._dnskey
        if zone.signing is Signing.BROKEN:
            other = ec.generate_private_key(ec.SECP256R1())
            key = dns.dnssec.make_dnskey(other.public_key(), "ECDSAP256SHA256", flags=257)
        return f"{zone.name}. DS {dns.dnssec.make_ds(f'{zone.name}.', key, 'SHA256').to_text()}\n"

    def _signed(self, name: str, text: str, spoilt: Sequence[tuple[str, str]]) -> str:
        zone = _parsed(name, text)
        keys: list[tuple[ec.EllipticCurvePrivateKey, DNSKEY]] = [(self._key, self._dnskey)]
        with zone.writer() as writer:
            dns.dnssec.sign_zone(zone, writer, keys=keys, dnskey_ttl=TTL, lifetime=30 * _DAY)  # type: ignore[arg-type]
        for relative, kind in spoilt:
            covered = dns.rdatatype.from_text(kind)
            owner = dns.name.from_text(relative, None) if relative != "@" else dns.name.empty
            signatures = zone.find_rdataset(owner, dns.rdatatype.RRSIG, covered, create=False)
            wrong = [record.replace(signature=bytes(len(record.signature))) for record in signatures]  # type: ignore[attr-defined]
            signatures.clear()
            for record in wrong:
                signatures.add(record)
        return zone.to_text(relativize=False)

    # -- the resolver

    def _start_unbound(self) -> Child:
        anchor = dns.dnssec.make_ds(".", self._dnskey, "SHA256").to_text()
        lines = [
            "server:",
            f"  interface: {self.address}@{self.port}",
            "  do-not-query-localhost: no",
            "  access-control: 127.0.0.0/8 allow",
            f'  trust-anchor: ". DS {anchor}"',
            '  module-config: "validator iterator"',
            '  chroot: ""',
            '  username: ""',
            f'  directory: "{self._folder}"',
            f'  pidfile: "{self._folder}/unbound.pid"',
            "  use-syslog: no",
            '  logfile: ""',
            "  val-log-level: 2",
            "  num-threads: 1",
            "  do-ip6: no",
            "  qname-minimisation: no",
            # A broken zone stays broken for no longer than a test needs.
            "  val-bogus-ttl: 1",
            "  edns-buffer-size: 1232",
            "remote-control:",
            "  control-enable: no",
        ]
        where = {".": self._authority} | {
            zone.name: self._nobody if zone.signing is Signing.LAME else self._authority for zone in self._zones
        }
        for name, port in where.items():
            lines += ["stub-zone:", f'  name: "{name}"', f"  stub-addr: 127.0.0.1@{port}"]
        configuration = self._folder / "unbound.conf"
        configuration.write_text("\n".join(lines) + "\n")
        child = Child(["/usr/sbin/unbound", "-d", "-c", configuration], self._folder / "unbound.out")
        wait_for(lambda: _answers(self.address, self.port), f"unbound: {child.output}")
        return child


def _parsed(name: str, text: str) -> dns.zone.Zone:
    origin = f"{name.rstrip('.')}."
    # A zone may be wrong on purpose, such as a digest of the wrong length.
    with mock.patch.object(TLSABase, "_cert_length_by_mtype", {}):
        return dns.zone.from_text(f"$TTL {TTL}\n{text}", origin, relativize=True, zone_factory=dns.zone.Zone)


def _answers(address: str, port: int) -> bool:
    query = dns.message.make_query(".", "SOA")
    try:
        return dns.query.udp(query, address, timeout=0.3, port=port).rcode() == dns.rcode.NOERROR
    except (OSError, dns.exception.DNSException):
        return False


def resolv_conf(dns_server: SignedDns, file: Path) -> Path:
    """A resolv.conf by which C programs ask this resolver and believe its AD bit."""
    assert dns_server.port == 53, "resolv.conf knows port 53 only"
    file.write_text(f"nameserver {dns_server.address}\noptions trust-ad edns0\n")
    return file


def with_resolv_conf(file: Path, command: Sequence[str | Path]) -> list[str]:
    """``command`` as it must be run so that it alone sees ``file`` as /etc/resolv.conf (needs root)."""
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(file), *(str(word) for word in command)]


def can_have_its_own_resolv_conf() -> bool:
    """Whether a program can be shown another /etc/resolv.conf: that takes a mount namespace."""
    try:
        probe = with_resolv_conf(Path("/dev/null"), ["true"])
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def can_bind_low_ports() -> bool:
    """Whether ports 25 and 53 of loopback addresses are ours to use."""
    return os.geteuid() == 0
