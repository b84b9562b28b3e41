"""DANE for SMTP: which TLSA records count, and whether a server's certificates match them (RFC 7671, RFC 7672 §3).

Pure: records, certificates as they were sent, names and the time go in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relayd.dns.records import Tlsa
from relayd.tls.certificate import spki
from relayd.tls.chain import Fault, chain_fault, signed_with
from relayd.tls.results import ResultType

_TRUST_ANCHOR: Final = 2
_END_ENTITY: Final = 3
_CERTIFICATE: Final = 0
_PUBLIC_KEY: Final = 1
#: A server's chain is looked at no further than this: real ones have four certificates.
_CERTIFICATES: Final = 12
#: Usable records that count: comparing hundreds of keys with a chain takes a second. Real sets have four.
_RECORDS: Final = 50
_FULL: Final = 0
#: Matching type → octets of its digest; a greater type is a stronger digest (RFC 7671 §9).
_DIGESTS: Final = {1: 32, 2: 64}


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """The records that can prove a mail server: usage 2 or 3 (RFC 7672 §3.1), known selector and matching type, sound
    data; the first fifty. Of several digests for one usage and selector only the strongest counts (RFC 7671 §9)."""
    sound = [record for record in records if _sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        kind = record.usage, record.selector
        strongest[kind] = max(strongest.get(kind, 0), record.matching)
    kept = (r for r in sound if r.matching in (_FULL, strongest[r.usage, r.selector]))
    return tuple(dict.fromkeys(kept))[:_RECORDS]


def _sound(record: Tlsa) -> bool:
    if record.usage not in (_TRUST_ANCHOR, _END_ENTITY) or record.selector not in (_CERTIFICATE, _PUBLIC_KEY):
        return False
    if record.matching != _FULL:
        return len(record.data) == _DIGESTS.get(record.matching)
    try:
        if record.selector == _CERTIFICATE:
            x509.load_der_x509_certificate(record.data).public_key()
        else:
            load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def needs_names(records: Iterable[Tlsa]) -> bool:
    """Whether a match by one of these asks for a name as well: only below a trust anchor (RFC 7672 §3.2)."""
    return any(record.usage == _TRUST_ANCHOR for record in records)


@dataclass(frozen=True, slots=True)
class Match:
    """What a server's certificates came to. ``by`` says which kind of record they match ("3 1 1"); it is "" when none
    does, and ``fault`` says why."""

    by: str = ""
    fault: Fault | None = None


def match(chain: Sequence[bytes], records: Iterable[Tlsa], names: Sequence[str], now: datetime) -> Match:
    """Whether one of ``records`` fits a server's certificates (DER, as they were sent, its own first).

    Usage 3 is the key's own pin: neither names nor dates nor the signature count (RFC 7672 §3.1.1). Usage 2 names a
    trust anchor: the certificates must lead to it, be in force, be strong, and have one of ``names``
    (RFC 7672 §3.1.2, §3.2.2). The anchor must be among those sent, unless the record holds it or its key whole
    (RFC 7671 §5.2).
    """
    sent = list(chain[:_CERTIFICATES])
    if not sent:
        return Match(fault=Fault(ResultType.VALIDATION_FAILURE, "it showed no certificate"))
    kept = usable(records)
    for record in kept:
        if record.usage == _END_ENTITY and _fits(record, sent[0]):
            return Match(_kind(record))
    fault = Fault(ResultType.VALIDATION_FAILURE, f"its certificate matches no usable TLSA record (of {len(kept)})")
    for record in kept:
        if record.usage != _TRUST_ANCHOR:
            continue
        for anchor in _anchors(record, sent):
            found = chain_fault(sent, anchor, names, now)
            if found is None:
                return Match(_kind(record))
            fault = found
    return Match(fault=fault)


def _kind(record: Tlsa) -> str:
    return f"{record.usage} {record.selector} {record.matching}"


def _anchors(record: Tlsa, sent: Sequence[bytes]) -> list[bytes]:
    """The certificates that a record of usage 2 makes trust anchors: those above the server's own that it fits; where
    none is, the record's own, or whatever its key has signed."""
    anchors = [certificate for certificate in sent[1:] if _fits(record, certificate)]
    if anchors or record.matching != _FULL:
        return anchors
    if record.selector == _CERTIFICATE:
        return [record.data]
    return [certificate for certificate in sent if signed_with(certificate, record.data)]


def _fits(record: Tlsa, certificate: bytes) -> bool:
    try:
        data = certificate if record.selector == _CERTIFICATE else spki(certificate)
    except ValueError:
        return False
    match record.matching:
        case 0:
            return data == record.data
        case 1:
            return hashlib.sha256(data).digest() == record.data
        case _:
            return hashlib.sha512(data).digest() == record.data
