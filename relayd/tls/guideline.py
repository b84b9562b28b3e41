"""The TLS guideline of NCSC-NL, version 2025-05, as data: how good a version, a suite, a group, a key or a hash is.

Names are OpenSSL's for suites, IANA's for versions and groups (OpenSSL's own names for groups are understood). What the
guideline doesn't name is insufficient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa


class Level(StrEnum):
    """The guideline's four words, best first."""

    GOOD = "good"
    SUFFICIENT = "sufficient"
    PHASE_OUT = "phase-out"
    INSUFFICIENT = "insufficient"

    @property
    def passes(self) -> bool:
        """Whether internet.nl gives its points: what is to be phased out gets a warning only."""
        return self is not Level.INSUFFICIENT


_ORDER: Final = tuple(Level)


def worst(levels: Iterable[Level]) -> Level:
    """The worst of these; good when there are none."""
    return max(levels, key=_ORDER.index, default=Level.GOOD)


VERSIONS: Final = {"TLSv1.3": Level.GOOD, "TLSv1.2": Level.SUFFICIENT}

_TLS13_SUITES: Final = {
    "TLS_AES_256_GCM_SHA384": Level.GOOD,
    "TLS_CHACHA20_POLY1305_SHA256": Level.GOOD,
    "TLS_AES_128_GCM_SHA256": Level.SUFFICIENT,
    "TLS_AES_128_CCM_SHA256": Level.SUFFICIENT,
}
_SUFFICIENT_SUITES: Final = re.compile(
    r"ECDHE-(?:(?:ECDSA|RSA)-(?:CHACHA20-POLY1305|AES(?:128-GCM-SHA256|256-GCM-SHA384))|ECDSA-AES(?:128|256)-CCM)"
)
#: CBC with SHA-2, and all of DHE-RSA but what has SHA-1 or a tag of 8 octets. OpenSSL leaves RSA out of ARIA's names.
_PHASE_OUT_SUITES: Final = re.compile(
    r"ECDHE-(?:(?:ECDSA|RSA)-(?:AES|CAMELLIA)(?:128-SHA256|256-SHA384)|(?:ECDSA-)?ARIA(?:128|256)-GCM-SHA(?:256|384))"
    r"|DHE-RSA-(?:CHACHA20-POLY1305|AES(?:128|256)-CCM|(?:AES|CAMELLIA|ARIA)(?:128|256)-(?:GCM-)?SHA(?:256|384))"
)

_GROUPS: Final = {
    **dict.fromkeys(("x25519mlkem768", "secp256r1mlkem768", "secp384r1mlkem1024"), Level.GOOD),
    **dict.fromkeys(("secp256r1", "secp384r1", "secp521r1", "x25519", "x448"), Level.SUFFICIENT),
    **dict.fromkeys(("brainpoolp256r1", "brainpoolp384r1", "brainpoolp512r1"), Level.SUFFICIENT),
    **dict.fromkeys(("brainpoolp256r1tls13", "brainpoolp384r1tls13", "brainpoolp512r1tls13"), Level.SUFFICIENT),
    **dict.fromkeys(("secp224r1", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"), Level.PHASE_OUT),
}
_ALIASES: Final = {
    "p-224": "secp224r1",
    "p-256": "secp256r1",
    "p-384": "secp384r1",
    "p-521": "secp521r1",
    "prime256v1": "secp256r1",
}
_HASHES: Final = {
    **dict.fromkeys(("sha256", "sha384", "sha512"), Level.SUFFICIENT),
    "sha224": Level.PHASE_OUT,
}
#: Hashes under the signature in TLS 1.2's key exchange: the guideline calls there good what is sufficient elsewhere.
_EXCHANGE_HASHES: Final = {**dict.fromkeys(("sha256", "sha384", "sha512"), Level.GOOD), "sha224": Level.PHASE_OUT}


def version(name: str) -> Level:
    """Of "TLSv1.3", "TLSv1.2", "TLSv1.1" …"""
    return VERSIONS.get(name, Level.INSUFFICIENT)


def suite(name: str) -> Level:
    """Of a cipher suite."""
    if name.startswith("TLS_"):
        return _TLS13_SUITES.get(name, Level.INSUFFICIENT)
    if _SUFFICIENT_SUITES.fullmatch(name):
        return Level.SUFFICIENT
    return Level.PHASE_OUT if _PHASE_OUT_SUITES.fullmatch(name) else Level.INSUFFICIENT


def group(name: str) -> Level:
    """Of a group for the key exchange, elliptic or finite."""
    plain = name.lower()
    return _GROUPS.get(_ALIASES.get(plain, plain), Level.INSUFFICIENT)


def signature_hash(name: str) -> Level:
    """Of the hash under a certificate's signature: "sha256" … EdDSA has its own, of which there is nothing to say."""
    return _HASHES.get(name.lower().replace("-", ""), Level.INSUFFICIENT)


def exchange_hash(name: str) -> Level:
    """Of the hash under the signature in TLS 1.2's key exchange."""
    return _EXCHANGE_HASHES.get(name.lower().replace("-", ""), Level.INSUFFICIENT)


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing and its level. ``what`` is for people: "RSA, 2048 bits"."""

    what: str
    level: Level


def key(public: object) -> Judged:
    """Of a certificate's public key."""
    if isinstance(public, rsa.RSAPublicKey):
        bits = public.key_size
        level = Level.SUFFICIENT if bits >= 3072 else Level.PHASE_OUT if bits >= 2048 else Level.INSUFFICIENT
        return Judged(f"RSA key of {bits} bits", level)
    if isinstance(public, ec.EllipticCurvePublicKey):
        level = group(public.curve.name)
        return Judged(f"ECDSA key on {_ALIASES.get(public.curve.name, public.curve.name)}", level)
    if isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return Judged("EdDSA key", Level.SUFFICIENT)
    return Judged("key of another kind", Level.INSUFFICIENT)


def certificate(chain: Sequence[x509.Certificate]) -> Iterator[Judged]:
    """Each key and each signature of a chain, the leaf first; a root that is sent along isn't judged."""
    for number, one in enumerate(chain):
        if number > 0 and one.issuer == one.subject:
            continue
        whose = "the certificate's" if number == 0 else f"issuer {number}'s"
        yield from (Judged(f"{whose} {found.what}", found.level) for found in alone(one))


def alone(one: x509.Certificate) -> Iterator[Judged]:
    """The key of one certificate, and the signature of whoever issued it, which says nothing where that is itself."""
    yield _public_key(one)
    if one.issuer != one.subject:
        yield Judged(f"signature with {_hash_name(one)}", _certificate_hash(one))


def _public_key(one: x509.Certificate) -> Judged:
    try:
        return key(one.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return key(None)


def _hash_name(one: x509.Certificate) -> str:
    try:
        algorithm = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "an unknown hash"
    return algorithm.name if algorithm is not None else "EdDSA"


def _certificate_hash(one: x509.Certificate) -> Level:
    name = _hash_name(one)
    return Level.SUFFICIENT if name == "EdDSA" else signature_hash(name)
