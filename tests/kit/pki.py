"""Certificates of every kind that a receiving mail server may show, and the TLSA records that describe them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key. ``chain`` is a PEM file of what a server sends, ``key_file`` the key's."""

    certificate: x509.Certificate
    key: Key
    chain: Path
    key_file: Path

    def tlsa(self, usage: int, selector: int, matching: int) -> str:
        """A TLSA record's data that this certificate matches (RFC 6698 §2.1)."""
        data = (
            self.certificate.public_bytes(Encoding.DER)
            if selector == 0
            else self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        digest = {0: lambda octets: octets, 1: lambda o: sha256(o).digest(), 2: lambda o: sha512(o).digest()}[matching]
        return f"{usage} {selector} {matching} {digest(data).hex()}"


class Pki:
    """A root, an intermediate under it, and whatever leaves a test wants."""

    def __init__(self, folder: Path, name: str = "test") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root = self._issue(f"{name}-root", (), None, authority=True)
        self.intermediate = self._issue(f"{name}-intermediate", (), self.root, authority=True)

    def self_signed(self, file: str, *names: str, started: int = 1, days: int = 30, bits: int = 0) -> Issued:
        """A certificate that nobody vouches for. ``started`` days ago, good for ``days``; RSA of ``bits``, or P-256."""
        return self._issue(file, names, None, started=started, days=days, bits=bits)

    def leaf(
        self,
        file: str,
        *names: str,
        issuer: Issued | None = None,
        sent: Sequence[Issued] = (),
        started: int = 1,
        days: int = 30,
        bits: int = 0,
    ) -> Issued:
        """A server's certificate under ``issuer`` (the intermediate); ``sent`` are what the server sends behind it."""
        return self._issue(file, names, issuer or self.intermediate, sent=sent, started=started, days=days, bits=bits)

    def signed_with_sha1(self, file: str, name: str, sent: Sequence[Issued]) -> Issued:
        """A leaf under the intermediate that nothing of today would sign so: by openssl(1)."""
        made = self.leaf(file, name, sent=sent)
        request, extensions = self._folder / f"{file}.csr", self._folder / f"{file}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\n")
        ca, key = self.intermediate.chain, self.intermediate.key_file
        for arguments in (
            ["req", "-new", "-key", made.key_file, "-subj", f"/CN={file}", "-out", request],
            ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-CAcreateserial", "-sha1", "-days", "30",
             "-extfile", extensions, "-out", made.chain],
        ):  # fmt: skip
            subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
        leaf = made.chain.read_bytes()
        made.chain.write_bytes(leaf + b"".join(one.certificate.public_bytes(Encoding.PEM) for one in sent))
        return Issued(x509.load_pem_x509_certificate(leaf), made.key, made.chain, made.key_file)

    def _issue(
        self,
        file: str,
        names: Sequence[str],
        issuer: Issued | None,
        *,
        authority: bool = False,
        sent: Sequence[Issued] = (),
        started: int = 1,
        days: int = 30,
        bits: int = 0,
    ) -> Issued:
        key: Key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file)])
        begin = datetime.now(UTC) - timedelta(days=started)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_usage(authority), critical=True)
        )
        if issuer:
            public = issuer.key.public_key()
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        chain, key_file = self._folder / f"{file}.pem", self._folder / f"{file}.key"
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in (certificate, *(other.certificate for other in sent)))
        chain.write_bytes(pem)
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Issued(certificate, key, chain, key_file)


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
