"""What a TLS handshake proved of the peer."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.mail.envelope import TlsFacts

#: Seconds for a whole handshake.
TIMEOUT: Final = 30.0


def facts_of(transport: asyncio.BaseTransport) -> TlsFacts | None:
    """The facts of a TLS transport; None for a plain one."""
    tls = transport.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return None
    cipher = tls.cipher()
    version, suite = tls.version() or "", cipher[0] if cipher else ""
    certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        return TlsFacts(version, suite)
    verified = tls.context.verify_mode is not ssl.CERT_NONE
    return TlsFacts(version, suite, _spki_sha256(certificate), _dns_names(tls) if verified else (), verified)


def _spki_sha256(certificate: bytes) -> str | None:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    except ValueError:
        return None  # OpenSSL took a certificate that the stricter parser doesn't: it proves nothing to us


def _dns_names(tls: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, ...]:
    certificate = tls.getpeercert() or {}
    names = certificate.get("subjectAltName", ())
    return tuple(str(entry[1]).lower() for entry in names if entry[0] == "DNS")
