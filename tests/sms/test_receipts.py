"""Reading receipts, and telling a gateway's from anybody's. What strangers send never does harm."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from relayd.errors import SyntaxInvalid
from relayd.settings.sms import ReceiptSettings
from relayd.sms.message import Receipt
from relayd.sms.receipt import field_at, is_proven, of_http, of_smpp
from relayd.sms.smpp_wire import HEADER, header_of, message_id_of, read_deliver_sm
from tests.kit.smsc import deliver_sm, receipt_text

SECRET = "s3cret-of-the-gateway"
SIGNED = ReceiptSettings(secret_file=Path("secret"), signature_header="X-Signature")
SHOWN = ReceiptSettings(secret_file=Path("secret"), secret_header="Authorization")
JSON, FORM = "application/json; charset=utf-8", "application/x-www-form-urlencoded"


def smpp(octets):
    return of_smpp(read_deliver_sm(octets[HEADER.size :]))


@given(st.binary(max_size=300))
def test_no_octets_do_more_than_be_refused(octets):
    try:
        of_smpp(read_deliver_sm(octets))
    except SyntaxInvalid:
        pass
    assert isinstance(message_id_of(octets), str)


@given(st.binary(min_size=16, max_size=16))
def test_no_header_makes_us_read_without_end(octets):
    try:
        length, _ = header_of(octets)
    except SyntaxInvalid:
        return
    assert 0 <= length <= 64 * 1024


@given(st.binary(max_size=255), st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=80), max_size=5))
def test_what_a_gateway_writes_is_what_we_read(text, parameters):
    found = read_deliver_sm(deliver_sm(1, text, parameters=parameters)[HEADER.size :])
    assert (found.esm_class, found.parameters) == (4, parameters)
    assert found.text == (text or parameters.get(0x424, b""))


@given(st.text("0123456789abcdefABCDEF-", min_size=1, max_size=64), st.sampled_from(["DELIVRD", "EXPIRED", "REJECTD"]))
def test_the_text_of_appendix_b(name, state):
    assert smpp(deliver_sm(1, receipt_text(name, state))) == Receipt(name, arrived=state == "DELIVRD")


def test_parameters_count_before_the_text():
    octets = deliver_sm(1, receipt_text("other", "DELIVRD"), parameters={0x1E: b"mine\0", 0x427: b"\x05"})
    assert smpp(octets) == Receipt("mine", arrived=False)


@pytest.mark.parametrize("esm_class", [0x00, 0x08, 0x10, 0x18])
def test_only_a_receipt_is_one(esm_class):
    assert smpp(deliver_sm(1, receipt_text("m1", "DELIVRD"), esm_class=esm_class)) is None


@given(st.binary(max_size=400), st.sampled_from([JSON, FORM, "", "text/xml"]))
def test_no_body_does_more_than_say_nothing(body, kind):
    assert of_http(SIGNED, kind, body) is None or b"status" in body


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 10_000, b"9" * 10_000, b'{"id": ' + b"9" * 5000 + b"}"])
def test_deep_and_huge_json_says_nothing(body):
    assert of_http(SIGNED, JSON, body) is None


@pytest.mark.parametrize(
    ("body", "receipt"),
    [
        ({"id": "a", "status": "delivered"}, Receipt("a", arrived=True)),
        ({"id": 17, "status": "failed", "to": "+31612345678"}, Receipt("17", arrived=False)),
        ({"id": "a", "status": "sent"}, None),
        ({"id": "", "status": "delivered"}, None),
        ({"id": True, "status": "delivered"}, None),
        ({"id": ["a"], "status": "delivered"}, None),
        ({"id": "a" * 257, "status": "delivered"}, None),
        ({"status": "delivered"}, None),
        ([], None),
    ],
)
def test_what_json_says(body, receipt):
    assert of_http(SIGNED, JSON, json.dumps(body).encode()) == receipt


def test_what_a_form_says():
    assert of_http(SIGNED, FORM, urlencode({"id": "a b", "status": "delivered"}).encode()) == Receipt(
        "a b", arrived=True
    )


def test_fields_lie_where_the_settings_say():
    settings = ReceiptSettings(
        secret_file=Path("s"), secret_header="X", id="results.0.messageId", state="results.0.status.name",
        delivered=("DELIVERED_TO_HANDSET",), failed=("REJECTED",),
    )  # fmt: skip
    body = {"results": [{"messageId": "m", "status": {"name": "REJECTED"}}]}
    assert of_http(settings, JSON, json.dumps(body).encode()) == Receipt("m", arrived=False)
    assert field_at({"a.b": "flat", "a": {"b": "deep"}}, "a.b") == "flat"
    assert field_at({"a": [1]}, "a.5") == ""


def mac(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).digest()


@pytest.mark.parametrize("write", [bytes.hex, lambda m: m.hex().upper(), lambda m: f"sha256={m.hex()}",
                                   lambda m: b64encode(m).decode()])  # fmt: skip
def test_a_signature_proves_in_each_of_its_forms(write):
    body = b'{"id": "a", "status": "delivered"}'
    assert is_proven(SIGNED, SECRET, Headers({"x-signature": write(mac(body))}), body)
    assert not is_proven(SIGNED, SECRET, Headers({"x-signature": write(mac(body))}), body + b" ")
    assert not is_proven(SIGNED, SECRET, Headers({"x-signature": write(mac(body, "other"))}), body)


@given(st.text(max_size=100), st.binary(max_size=50))
def test_nothing_else_proves(shown, body):
    for settings in (SIGNED, SHOWN):
        for header in ({}, {"x-signature": "", "authorization": ""}):
            assert not is_proven(settings, SECRET, Headers(header), body)
        assert not is_proven(settings, SECRET, {"X-Signature": shown, "Authorization": shown}, body)


def test_a_secret_in_a_header_proves_with_and_without_bearer():
    for shown in (SECRET, f"Bearer {SECRET}"):
        assert is_proven(SHOWN, SECRET, Headers({"authorization": shown}), b"")
