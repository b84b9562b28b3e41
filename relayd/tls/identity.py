"""What a peer's certificate proves: the facts of a finished handshake, and whether they meet a demand."""

from __future__ import annotations

import hashlib
import ssl
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.mail.address import is_address
from relayd.mail.envelope import TlsFacts
from relayd.tls.demand import Security, TlsDemand


def spki_sha256(certificate: bytes) -> str:
    """The lower-case hex digest of a DER certificate's SubjectPublicKeyInfo."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def facts_of(tls: ssl.SSLObject | ssl.SSLSocket) -> TlsFacts:
    """What this handshake showed. Names are listed only where the chain was verified by the handshake itself."""
    certificate = tls.getpeercert(binary_form=True)
    verified = tls.context.verify_mode != ssl.CERT_NONE and certificate is not None
    cipher = tls.cipher()
    return TlsFacts(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        spki_sha256=spki_sha256(certificate) if certificate else None,
        names=_alternative_names(tls) if verified else (),
        verified=verified,
    )


def _alternative_names(tls: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, ...]:
    """DNS names and IP addresses of the subjectAltName; the common name isn't a name any more (RFC 9525 §2)."""
    names = (tls.getpeercert() or {}).get("subjectAltName", ())
    return tuple(str(name[1]).lower() for name in names if len(name) == 2 and name[0] in ("DNS", "IP Address"))


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


def proves(facts: TlsFacts, demand: TlsDemand) -> bool:
    """Whether what the handshake showed is what the demand asks."""
    if demand.security is Security.DANE:
        return False
    if demand.security is not Security.VERIFIED:
        return True
    if demand.pins:
        return facts.spki_sha256 is not None and facts.spki_sha256 in {pin.lower() for pin in demand.pins}
    return facts.verified and any(name_matches(have, want) for have in facts.names for want in demand.names)


def unproven(facts: TlsFacts, demand: TlsDemand) -> str:
    """In words, for the operator: what was asked for and what the certificate showed instead."""
    if demand.pins:
        return f"its certificate's key is none of the pins; its SPKI SHA-256 is {facts.spki_sha256}"
    shown = ", ".join(facts.names[:5]) or "nothing"
    return f"its certificate names {shown}; asked for: {', '.join(demand.names)}"
