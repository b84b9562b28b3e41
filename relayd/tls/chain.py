"""Whether a server's certificates lead to a trust anchor and prove a name, and what is wrong when they don't.

For what OpenSSL can't be asked in a handshake: trust anchors from DNS, which are known for one connection only, and
what a policy in mode ``testing`` would have said. The path is built by cryptography's verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy

from relayd.tls.certificate import dns_names, name_matches, weakness
from relayd.tls.results import ResultType


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a certificate proves nothing: in the words of the daily report, and in words."""

    type: ResultType
    reason: str


def chain_fault(chain: Sequence[bytes], anchor: bytes, names: Sequence[str], now: datetime) -> Fault | None:
    """None when the first certificate of ``chain`` (DER, as sent) has one of ``names`` and is signed by ``anchor``,
    over others of the chain perhaps, and every one of them is in force and strong."""
    try:
        leaf, *others = [x509.load_der_x509_certificate(one) for one in chain]
        root = x509.load_der_x509_certificate(anchor)
    except ValueError:
        return Fault(ResultType.CERTIFICATE_NOT_TRUSTED, "one of its certificates can't be read")
    if anchor == chain[0]:
        return _own_fault(leaf, names, now)  # vouched for by the anchor's key itself, see signed_with
    return _own_fault(leaf, names, now) or _path_fault(leaf, others, root, names, now)


def signed_with(certificate: bytes, key: bytes) -> bool:
    """Whether a certificate (DER) bears the signature of this public key (a SubjectPublicKeyInfo)."""
    try:
        signed, public = x509.load_der_x509_certificate(certificate), load_der_public_key(key)
        parameters, digest = signed.signature_algorithm_parameters, signed.signature_hash_algorithm
        match public:
            case RSAPublicKey() if isinstance(parameters, PKCS1v15 | PSS) and digest is not None:
                public.verify(signed.signature, signed.tbs_certificate_bytes, parameters, digest)
            case EllipticCurvePublicKey() if isinstance(parameters, ECDSA):
                public.verify(signed.signature, signed.tbs_certificate_bytes, parameters)
            case Ed25519PublicKey() | Ed448PublicKey():
                public.verify(signed.signature, signed.tbs_certificate_bytes)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _own_fault(leaf: x509.Certificate, names: Sequence[str], now: datetime) -> Fault | None:
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        when = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        return Fault(ResultType.CERTIFICATE_EXPIRED, f"its certificate is valid from {when}")
    shown = dns_names(leaf)
    if not any(name_matches(have, want) for have in shown for want in names):
        words = f"its certificate names {', '.join(shown[:5]) or 'nothing'}; asked for: {', '.join(names)}"
        return Fault(ResultType.CERTIFICATE_HOST_MISMATCH, words)
    if weak := weakness(leaf):
        return Fault(ResultType.CERTIFICATE_NOT_TRUSTED, f"its certificate has {weak}")
    return None


def _path_fault(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    root: x509.Certificate,
    names: Sequence[str],
    now: datetime,
) -> Fault | None:
    """Names were compared already, by our rules; the verifier needs one all the same."""
    shown = dns_names(leaf)
    name = next(want for want in names for have in shown if name_matches(have, want))
    builder = verification.PolicyBuilder().store(verification.Store([root])).time(now)
    builder = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SERVER)
    try:
        builder.build_server_verifier(x509.DNSName(name)).verify(leaf, list(others))
    except (verification.VerificationError, ValueError) as error:
        if any(one.not_valid_after_utc < now for one in (*others, root)):
            return Fault(ResultType.CERTIFICATE_EXPIRED, "a certificate above its own has expired")
        reason = str(error).partition(" (encountered")[0].removeprefix("validation failed: ")
        return Fault(ResultType.CERTIFICATE_NOT_TRUSTED, f"its certificates don't lead to the trust anchor: {reason}")
    return None


def _must_sign(policy: verification.Policy, certificate: x509.Certificate, found: x509.BasicConstraints) -> None:
    if not found.ca:
        raise ValueError("not a certificate authority's")


# Private authorities, which DANE is often used with, don't keep to the rules of the public ones: beyond being one,
# nothing is asked of their form.
_AUTHORITY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_sign)
_SERVER = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
