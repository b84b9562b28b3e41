"""What a connection must prove before a message may travel over it: ``docs/tls-decision.md`` as code.

Pure: the message's class and what the directory knows go in, a demand comes out. Nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relayd.directory.directory import DomainEntry, NtaEntry


class Security(StrEnum):
    """VERIFIED: TLS, and the certificate proves who it is. ENCRYPTED: TLS with any certificate. OFFERED: TLS where the
    other side offers it, else plain text."""

    VERIFIED = "verified"
    ENCRYPTED = "encrypted"
    OFFERED = "offered"


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """What one next hop has to show. ``names`` and ``ca_file`` count for VERIFIED; with ``pins`` (hex SHA-256 of the
    SubjectPublicKeyInfo) one of them must match, and names and CAs aren't asked."""

    security: Security
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    ca_file: str = ""


def demand_for_domain(entry: DomainEntry, host: str) -> TlsDemand:
    """A next hop of the domainbook. Only ``insecure_plaintext: true`` gives up the proof."""
    if entry.insecure_plaintext:
        return TlsDemand(Security.OFFERED)
    return TlsDemand(Security.VERIFIED, entry.tls_names or (host,), entry.pins, entry.ca_file)


def demand_for_nta(entry: NtaEntry, host: str) -> TlsDemand:
    """A host of a local NTA 7516 entry: always proven."""
    return TlsDemand(Security.VERIFIED, entry.tls_names or (host,), (), entry.ca_file)


def demand_for_ordinary() -> TlsDemand:
    """Ordinary mail by MX. A name from unsigned DNS is no identity, so there is nothing to prove; but TLS it must be,
    since nothing falls back to plain text."""
    return TlsDemand(Security.ENCRYPTED)


def demand_for_notice(*, allow_plaintext: bool) -> TlsDemand:
    """Notifications and reports without content."""
    return TlsDemand(Security.OFFERED if allow_plaintext else Security.ENCRYPTED)
