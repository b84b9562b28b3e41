"""DKIM key records (RFC 6376 §3.6.1, RFC 8301, RFC 8463): is this a key that may verify this signature of a mail?

Keys come from strangers. One that is too small proves nothing, and one that is too large would keep a thread busy, so
both are refused before anything is computed with them.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relayd.errors import SyntaxInvalid

LEAST_RSA_BITS: Final = 1024  # RFC 8301 §3.2
MOST_RSA_BITS: Final = 4096
_MOST_EXPONENT_BITS: Final = 32
_MOST_OCTETS: Final = 4096
_TAG: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_WHITE_SPACE: Final = re.compile(r"\s+")


class KeyUnfit(Exception):
    """The key proves nothing for this signature. ``weak``: it is a matter of policy, not of syntax."""

    def __init__(self, reason: str, *, weak: bool = False) -> None:
        self.reason = reason
        self.weak = weak
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A usable key record. ``record`` says no more than the kind and the key; ``bits`` is 0 for Ed25519."""

    record: bytes
    bits: int = 0
    testing: bool = False
    exact_domain: bool = False


def read_key(record: bytes, algorithm: str) -> KeyFacts:
    """Whether ``record`` holds a key for ``algorithm`` ("rsa-sha256", "ed25519-sha256"). Raises KeyUnfit."""
    try:
        tags = parse_tags(record, _MOST_OCTETS)
    except SyntaxInvalid as error:
        raise KeyUnfit(f"the key record can't be read: {error}") from None
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise KeyUnfit("the key record is of another version")
    if not _listed(tags.get("s", "*")) & {"*", "email"}:
        raise KeyUnfit("the key is for other services than mail")
    if "h" in tags and "sha256" not in _listed(tags["h"]):
        raise KeyUnfit("the key is for other hash algorithms")
    kind = tags.get("k", "rsa").lower()
    if kind != algorithm.partition("-")[0]:
        raise KeyUnfit("the key is for another algorithm")
    if "p" not in tags:
        raise KeyUnfit("the key record has no key")
    key = _decoded(tags["p"])
    if not key:
        raise KeyUnfit("the key was revoked")
    flags = _listed(tags.get("t", ""))
    bits = _rsa_bits(key) if kind == "rsa" else _ed25519_bits(key)
    plain = b"v=DKIM1; k=%b; p=%b" % (kind.encode("ascii"), base64.b64encode(key))
    return KeyFacts(plain, bits, "y" in flags, "s" in flags)


def parse_tags(text: bytes, most: int) -> dict[str, str]:
    """A tag list of at most ``most`` octets (RFC 6376 §3.2) as tag → value, in their order. Raises SyntaxInvalid."""
    if len(text) > most:
        raise SyntaxInvalid(f"longer than {most} octets")
    try:
        specs = text.decode("utf-8").split(";")
    except UnicodeDecodeError:
        raise SyntaxInvalid("not UTF-8") from None
    if not specs[-1].strip():
        specs.pop()
    tags: dict[str, str] = {}
    for spec in specs:
        match = _TAG.fullmatch(spec)
        if match is None:
            raise SyntaxInvalid("something that is no tag=value")
        if match[1] in tags:
            raise SyntaxInvalid("a tag that stands there twice")
        tags[match[1]] = match[2].strip()
    return tags


def _listed(value: str) -> set[str]:
    return {one.strip().lower() for one in value.split(":")}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(_WHITE_SPACE.sub("", value), validate=True)
    except (binascii.Error, ValueError):
        raise KeyUnfit("the key isn't base64") from None


def _rsa_bits(key: bytes) -> int:
    try:
        public = load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnfit("the key isn't an RSA key that can be read") from None
    if not isinstance(public, RSAPublicKey):
        raise KeyUnfit("the key isn't an RSA key")
    bits = public.key_size
    if bits < LEAST_RSA_BITS:
        raise KeyUnfit(f"the RSA key has only {bits} bits", weak=True)
    if bits > MOST_RSA_BITS or public.public_numbers().e.bit_length() > _MOST_EXPONENT_BITS:
        raise KeyUnfit(f"the RSA key has more than {MOST_RSA_BITS} bits or an unusual exponent", weak=True)
    return bits


def _ed25519_bits(key: bytes) -> int:
    if len(key) != 32:  # RFC 8463 §4
        raise KeyUnfit("the key isn't an Ed25519 key")
    return 0
