"""What a connection must prove before a message may travel over it: ``docs/tls-decision.md`` as code.

Pure: the message's class and what the directory knows go in, a demand comes out. Nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relayd.directory.directory import DomainEntry, NtaEntry
from relayd.dns.records import Tlsa


class Security(StrEnum):
    """DANE: TLS, and the certificate matches a TLSA record. VERIFIED: TLS, and the certificate proves a name under a
    CA, or a pin. ENCRYPTED: TLS with any certificate. OFFERED: TLS where it is offered, else plain text."""

    DANE = "dane"
    VERIFIED = "verified"
    ENCRYPTED = "encrypted"
    OFFERED = "offered"


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """What one next hop has to show. ``names`` and ``ca_file`` count for VERIFIED; with ``pins`` (hex SHA-256 of the
    SubjectPublicKeyInfo) one of them must match, and names and CAs aren't asked. For DANE one of ``tlsa`` must match,
    and ``names`` are those of which a certificate under a trust anchor (usage 2) must have one. ``server_name`` is for
    SNI; the first name or the host when it is "". ``reason`` says in words why just this is demanded."""

    security: Security
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    ca_file: str = ""
    tlsa: tuple[Tlsa, ...] = ()
    server_name: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender asks of the way. ``require_tls``: REQUIRETLS was given with MAIL (RFC 8689 §2). ``tls_optional``:
    the header says ``TLS-Required: No`` and REQUIRETLS wasn't given (RFC 8689 §3)."""

    require_tls: bool = False
    tls_optional: bool = False


NO_WISHES: Final = Wishes()


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
