"""What a connection must prove before a message may travel over it, and what else decides that, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from relayd.dns.records import Tlsa
from relayd.mail.address import Domain
from relayd.settings.models import TlsOverrideSettings


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
    SNI; the first name or the host when it is "". ``reason`` says in words why just this is demanded; two demands that
    differ in nothing else are the same."""

    security: Security
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    ca_file: str = ""
    tlsa: tuple[Tlsa, ...] = ()
    server_name: str = ""
    reason: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender asks of the way. ``require_tls``: REQUIRETLS was given with MAIL (RFC 8689 §2). ``tls_optional``:
    the header says ``TLS-Required: No`` and REQUIRETLS wasn't given (RFC 8689 §3)."""

    require_tls: bool = False
    tls_optional: bool = False


NO_WISHES: Final = Wishes()


class Ignored(StrEnum):
    """What an override leaves out of account."""

    DANE = "dane"
    MTA_STS = "mta_sts"


@dataclass(frozen=True, slots=True)
class Override:
    """The operator's word on a domain whose published records are broken: don't ask for these. ``until`` is the last
    day (UTC) it counts."""

    ignore: frozenset[Ignored]
    reason: str
    until: date

    def __str__(self) -> str:
        return f"{' and '.join(sorted(self.ignore))} ignored until {self.until}: {self.reason}"


#: By recipient domain.
Overrides = Mapping[Domain, Override]


def overrides_of(settings: Iterable[TlsOverrideSettings]) -> Overrides:
    """The overrides that the configuration lists."""
    return {
        Domain(one.domain): Override(frozenset(map(Ignored, one.ignore)), one.reason, one.until) for one in settings
    }
