"""Certificates of every kind for DANE: chains of several, weak, expired and odd ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from relayd.dns.records import Tlsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Made:
    """One certificate with its key and the name it was given."""

    certificate: x509.Certificate
    key: Key
    name: str

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def tlsa(self, usage: int, selector: int, matching: int) -> Tlsa:
        """The record that this certificate matches."""
        data = self.spki if selector == 1 else self.der
        return Tlsa(usage, selector, matching, {1: sha256, 2: sha512}.get(matching, bytes)(data))

    def write(self, folder: Path, *above: Made) -> tuple[Path, Path]:
        """A chain file with the certificates ``above`` behind this one, and the key's file."""
        chain, key = folder / f"{self.name}.pem", folder / f"{self.name}.key"
        chain.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (self, *above)))
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return chain, key


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def make(
    name: str,
    by: Made | None = None,
    *,
    names: Sequence[str] = (),
    ca: bool | None = None,
    path_length: int | None = None,
    key: Key | None = None,
    starts: int = -1,
    days: int = 30,
    others: Sequence[x509.ExtensionType] = (),
) -> Made:
    """A certificate signed by ``by``, by itself without; in force from ``starts`` days after now for ``days``."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    begin = NOW + timedelta(days=starts)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(_subject(by.name if by else name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    for other in others:
        builder = builder.add_extension(other, critical=True)
    return Made(builder.sign(by.key if by else key, hashes.SHA256()), key, name)


def with_sha1(made: Made, by: Made) -> Made:
    """The same certificate, signed over SHA-1 by an RSA key, which no library does any more."""
    assert isinstance(by.key, rsa.RSAPrivateKey)
    rsa_sha256, rsa_sha1 = (bytes.fromhex(f"06092a864886f70d0101{last}0500") for last in ("0b", "05"))
    signed = made.certificate.tbs_certificate_bytes.replace(rsa_sha256, rsa_sha1)
    numbers = by.key.private_numbers()
    size = by.key.key_size // 8
    digest = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(signed).digest()  # noqa: S324
    padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    body = signed + b"\x30\x0d" + rsa_sha1 + b"\x03" + _length(size + 1) + b"\0" + signature
    der = b"\x30" + _length(len(body)) + body
    return Made(x509.load_der_x509_certificate(der), made.key, made.name)


def _length(octets: int) -> bytes:
    return bytes([0x82, octets >> 8, octets & 0xFF])


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
