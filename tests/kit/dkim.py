"""Keys that messages are signed with in tests, and the DNS records that go with them."""

from __future__ import annotations

import base64
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def key_pair(bits: int) -> tuple[bytes, bytes]:
    """A private RSA key as PEM, and its public half as it stands in p=."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return pem, _encoded(key.public_key())


def public_key(bits: int, exponent: int = 65537) -> bytes:
    """A public RSA key that nobody has the other half of, as it stands in p=."""
    return _encoded(rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1).public_key())


def _encoded(public: rsa.RSAPublicKey) -> bytes:
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


PEM, PUBLIC = key_pair(2048)
RECORD = b"v=DKIM1; k=rsa; p=" + PUBLIC


def signed(message: bytes, domain: bytes = b"green.example", pem: bytes = PEM, **options: Any) -> bytes:
    """``message`` with dkimpy's signature on top: selector s, key at ``s._domainkey.domain``."""
    return dkim.sign(message, b"s", domain, pem, **options) + message  # type: ignore[no-any-return]
