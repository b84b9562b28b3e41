"""Whose signature covers a whole message: against messages that dkimpy signs."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from relayd.authenticity.dkim_verify import DkimVerifier
from tests.kit.judging import MemoryBody

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
MESSAGE = b"From: x@green.example\r\nTo: y@x.example\r\nSubject: Hi\r\n\r\nHello there\r\n"


def signed(message: bytes = MESSAGE, domain: bytes = b"green.example", **options: object) -> bytes:
    return dkim.sign(message, b"s", domain, PEM, **options) + message  # type: ignore[no-any-return]


async def signers(message: bytes) -> set[str]:
    verifier = DkimVerifier(
        lambda name, _: b"v=DKIM1; k=rsa; p=" + PUBLIC if name.startswith(b"s._domainkey.") else None
    )
    return set(await verifier.signed_by(MemoryBody(message)))


async def test_a_valid_signature_counts() -> None:
    assert await signers(signed()) == {"green.example"}
    assert await signers(signed(signed(), b"Other.EXAMPLE")) == {"green.example", "other.example"}


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE,
        signed().replace(b"Hello", b"Goodbye"),
        signed().replace(b"Subject: Hi", b"Subject: Ho"),
        b"From: boss@green.example\r\n" + signed(),
        signed(length=True),
        signed(length=True) + b"more\r\n",
        signed().replace(b"s=s;", b"s=t;"),
        signed().replace(b"d=green.example", b"d=other.example"),
        signed().replace(b"a=rsa-sha256", b"a=rsa-sha1"),
        signed().replace(b"a=rsa-sha256", b"a=none"),
        b"DKIM-Signature: v=1; d=green.example; a=rsa-sha256\r\n" + MESSAGE,
        b"DKIM-Signature: \xff\xfe\r\n" + MESSAGE,
        b"DKIM-Signature:\r\n" + MESSAGE,
    ],
)
async def test_anything_less_does_not(message: bytes) -> None:
    assert await signers(message) == set()


async def test_a_signature_below_a_broken_one_still_counts() -> None:
    assert await signers(b"DKIM-Signature: v=1; broken\r\n" + signed()) == {"green.example"}


async def test_only_the_first_few_are_verified() -> None:
    assert await signers(b"DKIM-Signature: v=1; broken\r\n" * 5 + signed()) == set()


async def test_a_resolver_that_is_silent_is_no_verdict_on_a_signature() -> None:
    def silent(name: bytes, seconds: float) -> bytes | None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await DkimVerifier(silent).signed_by(MemoryBody(signed()))
