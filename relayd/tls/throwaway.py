"""Self-signed certificates that live for one look at our own TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from relayd.tls.probe import Pair

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LIFE: Final = timedelta(hours=1)
_NAME: Final = "tls-profile.invalid"


def make(folder: Path) -> dict[str, Pair]:
    """One with a P-256 key, one with RSA of 3072 bits, and one whose RSA key has 1024 bits, as nobody should have."""
    keys: dict[str, _Key] = {
        "elliptic": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 3072),
        "weak": rsa.generate_private_key(65537, 1024),  # noqa: S505 (this is what it is for)
    }
    return {name: _issue(folder, name, key) for name, key in keys.items()}


def _issue(folder: Path, stem: str, key: _Key) -> Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(folder / f"{stem}.pem", folder / f"{stem}.key")
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair
