"""What a peer's certificate proves: the facts of a finished handshake, and whether they meet a demand."""

from __future__ import annotations

import ssl
from datetime import datetime

import msgspec
from cryptography import x509

from relayd.mail.envelope import TlsFacts
from relayd.tls.certificate import name_matches, spki_sha256, weakness
from relayd.tls.chain import Fault
from relayd.tls.dane import match
from relayd.tls.demand import Security, TlsDemand
from relayd.tls.results import ResultType
from relayd.tls.sent_chain import sent_chain


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


def judge(tls: ssl.SSLObject, demand: TlsDemand, now: datetime) -> tuple[TlsFacts, Fault | None]:
    """What a handshake showed, with its proof in words, and why that isn't what the demand asks (None when it is)."""
    try:
        facts = facts_of(tls)
    except ValueError:
        # OpenSSL takes certificates that the stricter parser doesn't. Without a key to name they prove nothing.
        facts = TlsFacts(tls.version() or "", (tls.cipher() or ("",))[0])
        if demand.security in (Security.DANE, Security.VERIFIED):
            return facts, Fault(ResultType.CERTIFICATE_NOT_TRUSTED, "its certificate can't be read")
        return facts, None
    if demand.security is Security.DANE:
        found = match(sent_chain(tls), demand.tlsa, demand.names, now)
        return (facts, found.fault) if found.fault else (_with(facts, f"dane {found.by}"), None)
    if demand.security is not Security.VERIFIED:
        return facts, None
    if not proves(facts, demand):
        type_ = ResultType.CERTIFICATE_NOT_TRUSTED if demand.pins else ResultType.CERTIFICATE_HOST_MISMATCH
        return facts, Fault(type_, unproven(facts, demand))
    if demand.pins:
        return _with(facts, "pin"), None
    own = tls.getpeercert(binary_form=True)
    if own is not None and (weak := weakness(x509.load_der_x509_certificate(own))):
        return facts, Fault(ResultType.CERTIFICATE_NOT_TRUSTED, f"its certificate has {weak}")
    return _with(facts, "ca"), None


def _with(facts: TlsFacts, proof: str) -> TlsFacts:
    return msgspec.structs.replace(facts, proof=proof)


def proves(facts: TlsFacts, demand: TlsDemand) -> bool:
    """Whether the names or the key that a handshake showed are those of a demand for VERIFIED."""
    if demand.pins:
        return facts.spki_sha256 is not None and facts.spki_sha256 in {pin.lower() for pin in demand.pins}
    return facts.verified and any(name_matches(have, want) for have in facts.names for want in demand.names)


def unproven(facts: TlsFacts, demand: TlsDemand) -> str:
    """In words, for the operator: what was asked for and what the certificate showed instead."""
    if demand.pins:
        return f"its certificate's key is none of the pins; its SPKI SHA-256 is {facts.spki_sha256}"
    shown = ", ".join(facts.names[:5]) or "nothing"
    return f"its certificate names {shown}; asked for: {', '.join(demand.names)}"
