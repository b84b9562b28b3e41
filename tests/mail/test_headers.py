"""Headers: raw fields, decoded text, addresses that can't be tricked, patches and trace fields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.envelope import Listener, Peer, TlsFacts
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch
from relayd.mail.patch import PatchedBody, apply
from relayd.mail.received import Hop, count_received, received_line

NASTY = st.lists(
    st.sampled_from([b"From: a@b.nl", b"To:", b"\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"x", b"\xff", b"\0",
                     b"Subject : =?utf-8?q?=", b"=?utf-8?b?AAA?=", b"(", b'"', b"<", b">", b"@", b",", b";", b"\\"]),
    max_size=20,
).map(b"".join)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "addresses", "is_clean"),
    [
        ("Jan <a@b.nl>", ["a@b.nl"], True),
        ('"x <a@evil.nl>" <b@good.nl>', ["b@good.nl"], True),
        ("(a@evil.nl) b@good.nl (Jan (x) de)", ["b@good.nl"], True),
        ('grp: a@b.nl, "J, P" <c@d.nl>;', ["a@b.nl", "c@d.nl"], True),
        ("undisclosed-recipients:;", [], True),
        ("=?utf-8?q?J=C3=B6s?= <b@good.nl>", ["b@good.nl"], True),
        ("jös@bücher.example", ["jös@xn--bcher-kva.example"], True),
        ("a@evil.nl <b@good.nl>", [], False),
        ("<@x:a@b.nl>", [], False),
        ("=?utf-8?q?boss=40evil.nl?= <b@good.nl>", ["b@good.nl"], False),
        ('"=?utf-8?q?boss=40evil.nl?=" <b@good.nl>', ["b@good.nl"], False),
        ("=?utf-8?q?a?=@b.nl", [], False),
        ("=?utf-8?q?=3Ca=40b.nl=3E?=", [], False),
        ("a @b.nl", [], False),
        ("a(x)@b.nl", [], False),
        ("a@b.nl <c@d.nl> <e@f.nl>", [], False),
        ("<a@b.nl, c@d.nl>", [], False),
        ("a@b.nl> <c@d.nl>", [], False),
        ("<a@b.nl> x", [], False),
        ("a@b.nl;c@d.nl", [], False),
        ("(open a@b.nl", [], False),
        ('"open <a@b.nl>', [], False),
        ("<a@b.nl", [], False),
        ("<>", [], False),
        ("Jan", [], False),
        ("a@b.nl, c@@d", ["a@b.nl"], False),
        ("=?utf-8?q?a=40b.nl_=3Cc=40d.nl=3E?= <a@b.nl>", ["a@b.nl"], False),
        ("a@b.nl\0", [], False),
    ],
)
def test_addresses(value: str, addresses: list[str], is_clean: bool) -> None:
    headers = Headers(b"From: " + value.encode() + b"\r\n")
    assert [str(address) for address in headers.addresses("from")] == addresses
    assert (not headers.address_defects("from")) is is_clean


@pytest.mark.parametrize(
    "value",
    [
        f"(=?utf-8?q?x?= {'a' * 200_000}) a@b.nl",
        "=?utf-8?q?" + "a" * 200_000 + "?= <a@b.nl>",
        '"' + '\\"' * 100_000,
    ],
)
def test_no_field_takes_longer_than_its_length(value: str) -> None:
    before = process_time()
    Headers(b"From: " + value.encode() + b"\r\n").address_defects("from")
    assert process_time() - before < 5  # it was minutes


def test_a_field_that_nobody_writes_by_hand_is_not_read() -> None:
    headers = Headers(b"From: " + b"<a@b.example>," * 2000 + b"\r\n")
    assert (headers.addresses("from"), headers.address_defects("from")) == ([], ["too-long"])


def test_several_from_fields_are_a_defect() -> None:
    headers = Headers(b"From: a@b.nl\r\nX: y\r\nFROM : c@d.nl\r\n")
    assert [str(address) for address in headers.addresses("from")] == ["a@b.nl", "c@d.nl"]
    assert "repeated:from" in headers.address_defects("from")


@pytest.mark.parametrize(
    ("head", "defect"),
    [
        (b" x\r\nA: b\r\n", "starts-with-fold"), (b"no colon\r\n", "field-without-name"),
        (b"A : b\r\n", "space-before-colon"),
        (b"A: \xff\r\n", "not-utf8"), (b"A: \0\r\n", "nul"), (b"A: \rb\r\n", "bare-cr"), (b"A: b\nB: c\r\n", "bare-lf"),
        (b"A: " + b"b" * 1000 + b"\r\n", "long-line"), (b"To: a\r\nTO: b\r\n", "repeated:to"),
    ],
)  # fmt: skip
def test_defects(head: bytes, defect: str) -> None:
    assert defect in Headers(head).defects
    assert not Headers(b"A: b\r\n c\r\nB:\r\n").defects


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a\r\n  b", "a  b"), (b"=?utf-8?q?caf=C3=A9?= =?utf-8?b?IHg=?= y", "café x y"), (b"caf\xc3\xa9", "café"),
        (b"=?utf-8?b?ww==?= =?UTF-8?B?pA==?=", "ä"), (b"=?iso-8859-1?q?=E9_=0D=0Ax?=", "é   x"), (b"=?x?q?a?=", "a"),
        (b"=?unicode_escape?q?=5Cx41?=", "\\x41"), (b"=?utf-8?q?a?=b", "ab"),
    ],
)  # fmt: skip
def test_text(raw: bytes, text: str) -> None:
    assert Headers(b"Subject: " + raw + b"\r\n").text("subject") == text


@given(NASTY)
def test_nothing_raises_and_no_octet_is_lost(head: bytes) -> None:
    headers = Headers(head)
    assert b"".join(field.raw for field in headers.fields) == head
    assert [field.number for field in headers.fields] == list(range(len(headers.fields)))
    for name in ("from", "to", "subject", ""):
        headers.text(name)
        headers.addresses(name)
        headers.address_defects(name)
    assert isinstance(headers.defects, tuple)


class _Bytes:
    def __init__(self, head: bytes, rest: bytes) -> None:
        self.head, self._all = head, head + rest
        self.size = len(self._all)

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        yield self._all[start:] if length is None else self._all[start : start + length]


@given(
    st.lists(st.sampled_from([b"A: b\r\n", b"B: c\r\n d\r\n", b"X:\r\n", b"no colon\r\n"]), max_size=8),
    st.sets(st.integers(0, 9)), st.sampled_from([b"", b"P: q\r\n", b"P: q\r\n r\r\nS: t\r\n"]),
    st.integers(0, 90), st.none() | st.integers(0, 90),
)  # fmt: skip
async def test_patches(fields: list[bytes], drop: set[int], put: bytes, start: int, length: int | None) -> None:
    head, rest = b"".join(fields), b"\r\nbody\r\n"
    patch = HeaderPatch(tuple(drop), put)
    expected = put + b"".join(raw for number, raw in enumerate(fields) if number not in drop)
    assert apply(patch, head) == expected
    body = PatchedBody(_Bytes(head, rest), patch)
    assert body.head == expected
    assert body.size == len(expected + rest)
    read = b"".join([block async for block in body.blocks(start, length)])
    assert read == (expected + rest)[start : None if length is None else start + length]


def test_no_line_folds_into_what_we_put_in_front() -> None:
    assert apply(HeaderPatch((), b"P: q\r\n"), b" evil\r\nA: b\r\n") == b"P: q\r\nA: b\r\n"


def test_received() -> None:
    peer = Peer(ip_address("2001:db8::1"), 25, Listener.RELAY, "evil)\r\nX: y", tls=TlsFacts("TLSv1.3", "AES"))
    line = received_line(Hop(peer, "relay.example", "01J", 1_700_000_000))
    assert line == (
        b"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby relay.example with ESMTPS id 01J\r\n"
        b"\t(TLSv1.3 AES);\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    )
    assert count_received(Headers(line * 3)) == 3
