"""The guideline's table, row by row, and what becomes of names that it doesn't have."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from relayd.tls import guideline
from relayd.tls.guideline import Level

GOOD, SUFFICIENT, PHASE_OUT, INSUFFICIENT = Level


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("TLS_AES_256_GCM_SHA384", GOOD),
        ("TLS_CHACHA20_POLY1305_SHA256", GOOD),
        ("TLS_AES_128_GCM_SHA256", SUFFICIENT),
        ("TLS_AES_128_CCM_SHA256", SUFFICIENT),
        ("TLS_AES_128_CCM_8_SHA256", INSUFFICIENT),
        ("TLS_SM4_GCM_SM3", INSUFFICIENT),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", SUFFICIENT),
        ("ECDHE-ECDSA-AES256-CCM", SUFFICIENT),
        ("ECDHE-RSA-AES128-GCM-SHA256", SUFFICIENT),
        ("ECDHE-RSA-AES256-SHA384", PHASE_OUT),
        ("ECDHE-ECDSA-CAMELLIA128-SHA256", PHASE_OUT),
        ("ECDHE-ARIA128-GCM-SHA256", PHASE_OUT),
        ("ECDHE-ECDSA-ARIA256-GCM-SHA384", PHASE_OUT),
        ("DHE-RSA-AES256-GCM-SHA384", PHASE_OUT),
        ("DHE-RSA-AES128-CCM", PHASE_OUT),
        ("DHE-RSA-CHACHA20-POLY1305", PHASE_OUT),
        ("DHE-RSA-AES256-SHA256", PHASE_OUT),
        ("DHE-RSA-AES256-SHA", INSUFFICIENT),
        ("DHE-RSA-AES128-CCM8", INSUFFICIENT),
        ("DHE-DSS-AES256-GCM-SHA384", INSUFFICIENT),
        ("ECDHE-ECDSA-AES128-CCM8", INSUFFICIENT),
        ("ECDHE-RSA-AES128-SHA", INSUFFICIENT),
        ("ECDHE-PSK-CHACHA20-POLY1305", INSUFFICIENT),
        ("AES256-GCM-SHA384", INSUFFICIENT),
        ("ADH-AES256-GCM-SHA384", INSUFFICIENT),
        ("ECDHE-RSA-DES-CBC3-SHA", INSUFFICIENT),
        ("ECDHE-RSA-NULL-SHA", INSUFFICIENT),
        ("", INSUFFICIENT),
    ],
)
def test_suites(name: str, level: Level) -> None:
    assert guideline.suite(name) is level


def test_what_openssl_knows_and_the_guideline_does_not_is_insufficient() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    passing = {suite["name"] for suite in context.get_ciphers() if guideline.suite(suite["name"]).passes}
    assert all(name.startswith(("TLS_", "ECDHE-", "DHE-RSA-")) for name in passing)
    assert not [name for name in passing if name.endswith(("-SHA", "CCM8", "_8_SHA256")) or "PSK" in name]


@pytest.mark.parametrize(
    ("name", "level"),
    [("TLSv1.3", GOOD), ("TLSv1.2", SUFFICIENT), ("TLSv1.1", INSUFFICIENT), ("TLSv1", INSUFFICIENT)],
)
def test_versions(name: str, level: Level) -> None:
    assert guideline.version(name) is level


@pytest.mark.parametrize(
    ("names", "level"),
    [
        (("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"), GOOD),
        (("X25519", "x448", "P-256", "prime256v1", "secp384r1", "secp521r1", "brainpoolP512r1"), SUFFICIENT),
        (("secp224r1", "P-224", "ffdhe3072", "ffdhe8192"), PHASE_OUT),
        (("ffdhe2048", "dhe4096", "secp192r1", "secp256k1", "sect571r1", ""), INSUFFICIENT),
    ],
)
def test_groups(names: tuple[str, ...], level: Level) -> None:
    assert {guideline.group(name) for name in names} == {level}


@pytest.mark.parametrize(
    ("name", "in_certificate", "in_exchange"),
    [
        ("SHA256", SUFFICIENT, GOOD),
        ("sha-512", SUFFICIENT, GOOD),
        ("sha224", PHASE_OUT, PHASE_OUT),
        ("sha1", INSUFFICIENT, INSUFFICIENT),
        ("md5", INSUFFICIENT, INSUFFICIENT),
    ],
)
def test_hashes(name: str, in_certificate: Level, in_exchange: Level) -> None:
    assert (guideline.signature_hash(name), guideline.exchange_hash(name)) == (in_certificate, in_exchange)


@pytest.mark.parametrize(
    ("key", "level"),
    [
        (rsa.generate_private_key(65537, 3072), SUFFICIENT),
        (rsa.generate_private_key(65537, 2048), PHASE_OUT),
        (rsa.generate_private_key(65537, 1024), INSUFFICIENT),  # noqa: S505
        (ec.generate_private_key(ec.SECP256R1()), SUFFICIENT),
        (ec.generate_private_key(ec.BrainpoolP384R1()), SUFFICIENT),
        (ec.generate_private_key(ec.SECP224R1()), PHASE_OUT),
        (ec.generate_private_key(ec.SECP256K1()), INSUFFICIENT),
        (ed25519.Ed25519PrivateKey.generate(), SUFFICIENT),
        (ed448.Ed448PrivateKey.generate(), SUFFICIENT),
        (dsa.generate_private_key(2048), INSUFFICIENT),
    ],
)
def test_keys_of_certificates(key: CertificateIssuerPrivateKeyTypes, level: Level) -> None:
    assert guideline.key(key.public_key()).level is level


def issue(
    subject: str, issuer: str, key: CertificateIssuerPrivateKeyTypes, signer: CertificateIssuerPrivateKeyTypes
) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(signer, hashes.SHA224() if isinstance(signer, rsa.RSAPrivateKey) else None)


def test_every_certificate_that_is_sent_counts_but_the_root() -> None:
    root = ed25519.Ed25519PrivateKey.generate()
    middle = rsa.generate_private_key(65537, 2048)
    leaf = ec.generate_private_key(ec.SECP256R1())
    chain = [issue("leaf", "middle", leaf, middle), issue("middle", "root", middle, root)]
    chain.append(issue("root", "root", root, root))
    assert [(one.what, one.level) for one in guideline.certificate(chain)] == [
        ("the certificate's ECDSA key on secp256r1", SUFFICIENT),
        ("the certificate's signature with sha224", PHASE_OUT),
        ("issuer 1's RSA key of 2048 bits", PHASE_OUT),
        ("issuer 1's signature with EdDSA", SUFFICIENT),
    ]
    # One that stands for itself has a key that counts; who signed it is itself.
    assert [one.what for one in guideline.certificate(chain[2:])] == ["the certificate's EdDSA key"]


def test_the_worst_of_several() -> None:
    assert guideline.worst([]) is GOOD
    assert guideline.worst([SUFFICIENT, INSUFFICIENT, GOOD]) is INSUFFICIENT
