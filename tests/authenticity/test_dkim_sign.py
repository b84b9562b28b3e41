"""Our signatures, as dkimpy sees them."""

from __future__ import annotations

import base64
import hashlib

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from dkim.canonicalization import Simple
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.authenticity.dkim_sign import BodyHash, Signer
from relayd.errors import SyntaxInvalid

RSA = generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
KEYS = pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])

HEADS = [
    b"From: a@example.nl\r\nTo: b@example.org\r\nSubject: hi\r\n",
    b"From:a@example.nl\r\nSubject:  folded \t text\r\n\t and  more  \r\n \r\nX-Other: 1\r\n",
    b"FROM: a@example.nl\r\nto: b@x\r\nTo: c@x\r\nSubject:\r\n",
    "From: Jös <a@example.nl>\r\nSubject: caf\xe9\r\n".encode("latin-1"),
    b"DKIM-Signature: v=1; a=rsa-sha256; d=other.nl; s=x; h=from; bh=x; b=x\r\nFrom: a@example.nl\r\n",
    b"From: a@example.nl\r\n" + b"References: <" + b"x" * 900 + b"@y>" + b"\r\n <z@y>" * 99 + b"\r\n",
]
BODIES = [b"", b"\r\n", b"\r\n\r\n\r\n", b"text", b"text\r\n", b"text \r\n\r\n\r\n", b" \r\n--\r\n", b"x" * 100_000]


def txt_record(name: bytes, timeout: int = 5) -> bytes:
    assert name in (b"s1._domainkey.example.nl.", b"s2._domainkey.example.nl.")
    if name.startswith(b"s1"):
        public = RSA.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    raw = ED25519.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def hashed(body: bytes, *cuts: int) -> bytes:
    body_hash = BodyHash()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        body_hash.feed(body[start:end])
    return body_hash.digest()


def signed(key: RSAPrivateKey | Ed25519PrivateKey, head: bytes, body: bytes) -> bytes:
    signer = Signer("example.nl", "s1" if isinstance(key, RSAPrivateKey) else "s2", key)
    return signer.sign(head, hashed(body), 1_700_000_000.5) + head + b"\r\n" + body


def verified(message: bytes) -> bool:
    return bool(dkim.verify(message, dnsfunc=txt_record))


@KEYS
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_signatures_verify(key: RSAPrivateKey | Ed25519PrivateKey, head: bytes, body: bytes) -> None:
    assert verified(signed(key, head, body))


@KEYS
@pytest.mark.parametrize(
    "name", [b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"Content-Type"]
)
def test_no_signed_field_can_be_added(key: RSAPrivateKey | Ed25519PrivateKey, name: bytes) -> None:
    message = signed(key, HEADS[0], b"text\r\n")
    assert verified(message)
    assert verified(b"X-Trace: 1\r\n" + message)
    assert not verified(name + b": c@example.com\r\n" + message)


@KEYS
def test_changes_are_noticed(key: RSAPrivateKey | Ed25519PrivateKey) -> None:
    message = signed(key, HEADS[0], b"text\r\n")
    assert not verified(message.replace(b"text", b"test"))
    assert not verified(message.replace(b"Subject: hi", b"Subject: ho"))


def test_lines_are_short_and_both_keys_may_sign() -> None:
    first = Signer("Example.NL.", "s1", RSA).sign(HEADS[0], hashed(b"x\r\n"), 0)
    second = Signer("example.nl", "s2", ED25519).sign(HEADS[0], hashed(b"x\r\n"), 0)
    assert max(map(len, (first + second).split(b"\r\n"))) <= 78
    message = dkim.DKIM(first + second + HEADS[0] + b"\r\nx\r\n")
    assert [message.verify(index, dnsfunc=txt_record) for index in (0, 1)] == [True, True]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\r", b"\n", b"x", b" "]), max_size=20).map(b"".join), st.data())
def test_body_hash_agrees_with_dkimpy_in_any_blocks(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert hashed(body, *cuts) == hashlib.sha256(Simple.canonicalize_body(body)).digest()


@KEYS
@settings(max_examples=60)
@given(value=st.text(st.sampled_from("ab \t:;=é\x7f"), max_size=30))
def test_odd_values_verify(key: RSAPrivateKey | Ed25519PrivateKey, value: str) -> None:
    head = b"From: a@example.nl\r\nSubject: " + value.encode() + b"\r\n"
    assert verified(signed(key, head, b"x\r\n"))


@KEYS
def test_a_field_of_the_callers_choice_is_signed_and_cannot_be_added(key: RSAPrivateKey | Ed25519PrivateKey) -> None:
    head = b"X-Way: safe\r\nFrom: a@example.nl\r\n"
    signer = Signer("example.nl", "s1" if isinstance(key, RSAPrivateKey) else "s2", key)
    message = signer.sign(head, hashed(b""), 0, also=("x-way",)) + head + b"\r\n"
    assert verified(message)
    assert not verified(message.replace(b"safe", b"fast"))
    assert not verified(b"X-Way: fast\r\n" + message)


@pytest.mark.parametrize("selector", ["", "a b", "-a", "a.", "a..b", "a_b", "x" * 64])
def test_a_selector_is_made_of_labels(selector: str) -> None:
    with pytest.raises(SyntaxInvalid):
        Signer("example.nl", selector, RSA)
