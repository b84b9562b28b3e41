"""What stands in a certificate, from its octets (RFC 5280 §4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from relayd.mail.address import is_address
from relayd.tls import guideline


@asn1.sequence
class _ToBeSigned:
    """A TBSCertificate, taken apart no further than needed. cryptography writes some public keys anew when asked for
    them (RSA-PSS becomes RSA), while digests are of the octets that the certificate holds."""

    version: Annotated[int | None, asn1.Explicit(0)]
    serial: asn1.TLV
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public_key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


def read_chain(chain: Iterable[bytes]) -> list[x509.Certificate]:
    """Certificates (DER) as far as they can be read: what comes after one that can't belongs to nothing."""
    found: list[x509.Certificate] = []
    for one in chain:
        try:
            found.append(x509.load_der_x509_certificate(one))
        except ValueError:
            break
    return found


def spki(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a DER certificate. Raises ValueError for what is none."""
    signed = x509.load_der_x509_certificate(certificate).tbs_certificate_bytes
    return asn1.encode_der(asn1.decode_der(_ToBeSigned, signed).public_key)


def spki_sha256(certificate: bytes) -> str:
    """The lower-case hex digest of a DER certificate's SubjectPublicKeyInfo."""
    return hashlib.sha256(spki(certificate)).hexdigest()


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names of the subjectAltName, in lower case. What couldn't stand in a log is left out."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName) if name.isprintable())


def name_matches(pattern: str, name: str) -> bool:
    """Whether a certificate's name covers ``name``. A wildcard stands for one whole left-most label (RFC 9525 §6.3)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if is_address(name):
        return is_address(pattern) and ip_address(pattern) == ip_address(name)
    if pattern == name:
        return True
    label, _, rest = pattern.partition(".")
    first, _, parent = name.partition(".")
    return label == "*" and rest.count(".") >= 1 and bool(first) and rest == parent


def weakness(certificate: x509.Certificate) -> str:
    """What makes a certificate too weak to prove a name, "" when nothing does: a key or signature that is insufficient
    by the guideline, such as RSA of 1024 bits or SHA-1."""
    return next((f"a weak {one.what}" for one in guideline.alone(certificate) if not one.level.passes), "")
