"""DANE for SMTP: which TLSA records count, and whether a server's certificates match them (RFC 7671, RFC 7672 §3).

Pure: records, certificates as they were sent, names and the time go in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relayd.dns.records import Tlsa

_TRUST_ANCHOR: Final = 2
_END_ENTITY: Final = 3
_CERTIFICATE: Final = 0
_PUBLIC_KEY: Final = 1
_FULL: Final = 0
#: Matching type → octets of its digest; a greater type is a stronger digest (RFC 7671 §9).
_DIGESTS: Final = {1: 32, 2: 64}


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """The records that can prove a mail server: usage 2 or 3 (RFC 7672 §3.1), known selector and matching type, sound
    data. Of several digests for one usage and selector only the strongest counts (RFC 7671 §9)."""
    sound = [record for record in records if _sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        kind = record.usage, record.selector
        strongest[kind] = max(strongest.get(kind, 0), record.matching)
    kept = (r for r in sound if r.matching in (_FULL, strongest[r.usage, r.selector]))
    return tuple(dict.fromkeys(kept))


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
