"""DKIM results: against messages that dkimpy signs, its own test data, and RFC 8463's example."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import dkim
import pytest

from relayd.authenticity.dkim_verify import verify
from relayd.authenticity.results import Dkim, Result
from relayd.dns.records import Answer
from tests.kit import dkim as signing
from tests.kit.dkim import PEM, PUBLIC, RECORD, key_pair, public_key
from tests.kit.dns import FakeDns
from tests.kit.judging import MemoryBody
from tests.kit.vectors import vectors

NOW = 1_800_000_000.0


MESSAGE = b"From: x@green.example\r\nTo: y@x.example\r\nSubject: Hi\r\n\r\nHello  there \r\nbye\r\n\r\n"


def signed(message: bytes = MESSAGE, *arguments: bytes, **options: Any) -> bytes:
    return signing.signed(message, *arguments, **options)


def zone(record: bytes | Answer | list[bytes] = RECORD, *domains: str) -> FakeDns:
    names = domains or ("green.example", "other.example")
    records = record if isinstance(record, Answer | list) else [record]
    return FakeDns({(f"s._domainkey.{domain}", "TXT"): records for domain in names})


async def results(message: bytes, dns: FakeDns | None = None, now: float = NOW) -> list[Dkim]:
    return list(await verify(MemoryBody(message), dns or zone(), now))


@pytest.mark.parametrize("head", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
async def test_a_valid_signature_passes(head: bytes, body: bytes) -> None:
    found = await results(signed(canonicalize=(head, body)))
    assert found == [Dkim(Result.PASS, "green.example", "s", "rsa-sha256")]


async def test_every_signature_has_its_result() -> None:
    message = b"DKIM-Signature: v=1; broken\r\n" + signed(signed(), b"Other.EXAMPLE")
    assert [(one.result, one.domain) for one in await results(message)] == [
        (Result.NEUTRAL, ""),
        (Result.PASS, "other.example"),
        (Result.PASS, "green.example"),
    ]


def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda message: message.replace(old, new, 1)


UNFIT = {
    "a changed body": (changed(b"Hello", b"Goodbye"), Result.FAIL, "body"),
    "a changed header": (changed(b"Subject: Hi", b"Subject: Ho"), Result.FAIL, "header"),
    "a second From on top": (lambda message: b"From: boss@green.example\r\n" + message, Result.FAIL, "header"),
    "another selector": (changed(b"s=s;", b"s=t;"), Result.PERMERROR, "no such key"),
    "another domain": (changed(b"d=green.example", b"d=other.example"), Result.NEUTRAL, "i="),
    "SHA-1": (changed(b"a=rsa-sha256", b"a=rsa-sha1"), Result.POLICY, "SHA-1"),
    "an unknown algorithm": (changed(b"a=rsa-sha256", b"a=none"), Result.NEUTRAL, "a="),
    "Ed25519 with an RSA key": (changed(b"a=rsa-sha256", b"a=ed25519-sha256"), Result.PERMERROR, "another algorithm"),
    "an unknown canonicalisation": (changed(b"c=relaxed/simple", b"c=nowsp"), Result.NEUTRAL, "c="),
    "an expired one": (changed(b" t=", b" x=1799999999; t="), Result.POLICY, "expired"),
    "one that expired before it began": (changed(b" t=", b" x=5; t="), Result.NEUTRAL, "before t="),
    "another query method": (changed(b"q=dns/txt", b"q=http"), Result.NEUTRAL, "q="),
    "no key method": (changed(b" s=s;", b""), Result.NEUTRAL, "s= is missing"),
    "From unsigned": (lambda message: re.sub(rb"from", b"date", message), Result.NEUTRAL, "From isn't signed"),
    "a tag twice": (changed(b" s=s;", b" s=s; s=s;"), Result.NEUTRAL, "twice"),
    "a selector that is no name": (changed(b" s=s;", b" s=../x;"), Result.NEUTRAL, "no name"),
    "an address as domain": (changed(b"d=green.example", b"d=[192.0.2.1]"), Result.NEUTRAL, ""),
    "octets that are no text": (changed(b" s=s;", b" s=\xff;"), Result.NEUTRAL, "UTF-8"),
    "a NUL": (changed(b" s=s;", b" s=s\0;"), Result.NEUTRAL, "no name"),
    "a huge number": (changed(b" t=", b" x=" + b"9" * 5000 + b"; t="), Result.NEUTRAL, "x="),
    "thousands of names": (changed(b"h=from", b"h=from" + b":x" * 3000), Result.NEUTRAL, "h="),
    "a field without end": (changed(b"h=from", b"h=from" + b" " * 9000), Result.NEUTRAL, "longer"),
    "a key that is none": (changed(b"b=", b"b=!"), Result.NEUTRAL, "b="),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_anything_less_has_its_own_result(case: str) -> None:
    change, result, reason = UNFIT[case]
    [found] = await results(change(signed()))
    assert found.result is result, found
    assert reason in found.reason


async def test_a_signature_that_covers_only_the_start_does_not_count() -> None:
    for message in (signed(length=True), signed(length=True) + b"more\r\n"):
        [found] = await results(message)
        assert found.result is Result.POLICY


async def test_what_hides_behind_a_false_b_tag_is_no_field_name() -> None:
    """dkimpy leaves ``b=…`` out of the hash wherever it stands; with it a name signed twice could be taken away."""
    message = b"From: x@green.example\r\nSubject: Hi\r\n\r\nbody\r\n"
    names = [b"from", b"subject", b"subject"]
    whole = dkim.sign(message, b"s", b"green.example", PEM, include_headers=names) + message
    assert [one.result for one in await results(whole)] == [Result.PASS]
    forged = re.sub(rb"subject;", b"subject b=AAAA;", whole, count=1)
    assert forged != whole
    [found] = await results(b"Subject: forged\r\n" + forged)
    assert (found.result, found.reason) == (Result.NEUTRAL, "h= is no list of field names")


KEYS = {
    "revoked": (b"v=DKIM1; k=rsa; p=", Result.PERMERROR, "revoked"),
    "for other services": (b"v=DKIM1; s=tlsrpt; p=" + PUBLIC, Result.PERMERROR, "services"),
    "for mail among others": (b"v=DKIM1; s=tlsrpt:email; p=" + PUBLIC, Result.PASS, ""),
    "for SHA-1 only": (b"v=DKIM1; h=sha1; p=" + PUBLIC, Result.PERMERROR, "hash"),
    "for SHA-1 as well": (b"v=DKIM1; h=sha1:sha256; p=" + PUBLIC, Result.PASS, ""),
    "of another version": (b"v=DKIM2; p=" + PUBLIC, Result.PERMERROR, "version"),
    "with its version last": (b"p=" + PUBLIC + b"; v=DKIM1", Result.PERMERROR, "version"),
    "without a version": (b"p=" + PUBLIC, Result.PASS, ""),
    "of an unknown kind": (b"v=DKIM1; k=dsa; p=" + PUBLIC, Result.PERMERROR, "another algorithm"),
    "no key at all": (b"v=DKIM1; k=rsa", Result.PERMERROR, "no key"),
    "something else": (b"v=spf1 -all", Result.PERMERROR, "version"),
    "just text": (b"hello", Result.PERMERROR, "can't be read"),
    "no base64": (b"v=DKIM1; p=%%%", Result.PERMERROR, "base64"),
    "no RSA key": (b"v=DKIM1; p=" + base64.b64encode(b"x" * 300), Result.PERMERROR, "RSA key"),
    "half a megabyte": (b"v=DKIM1; p=" + b"A" * 512 * 1024, Result.PERMERROR, "longer"),
    "with spaces": (b"v=DKIM1; p= " + PUBLIC[:100] + b" " + PUBLIC[100:], Result.PASS, ""),
    "in test mode": (b"v=DKIM1; t=y; p=" + PUBLIC, Result.PASS, "testing"),
}


@pytest.mark.parametrize("case", KEYS)
async def test_what_a_key_record_says(case: str) -> None:
    record, result, reason = KEYS[case]
    [found] = await results(signed(), zone(record))
    assert found.result is result, found
    assert reason in found.reason


@pytest.mark.parametrize(
    ("bits", "exponent", "result", "reason"),
    [
        (512, 65537, Result.POLICY, "only 512 bits"),
        (1023, 65537, Result.POLICY, "only 1023 bits"),
        (4096, 65537, Result.FAIL, "changed"),
        (4104, 65537, Result.POLICY, "more than 4096"),
        (2048, (1 << 60) + 1, Result.POLICY, "unusual exponent"),
    ],
)
async def test_keys_that_prove_nothing_or_would_take_minutes(
    bits: int, exponent: int, result: Result, reason: str
) -> None:
    [found] = await results(signed(), zone(b"v=DKIM1; p=" + public_key(bits, exponent)))
    assert (found.result, reason in found.reason) == (result, True), found


async def test_a_small_key_is_mentioned() -> None:
    pem, public = key_pair(1024)
    assert await results(signed(pem=pem), zone(b"p=" + public)) == [
        Dkim(Result.PASS, "green.example", "s", "rsa-sha256", "1024-bit key")
    ]


@pytest.mark.parametrize(
    ("identity", "flags", "result"),
    [
        (b"x@green.example", b"t=s; ", Result.PASS),
        (b"x@sub.green.example", b"", Result.PASS),
        (b"x@sub.green.example", b"t=s; ", Result.PERMERROR),
        (b"x@notgreen.example", b"", Result.NEUTRAL),
    ],
)
async def test_who_a_key_may_speak_for(identity: bytes, flags: bytes, result: Result) -> None:
    message = signed(identity=b"@green.example")
    signature = dkim.DKIM(MESSAGE)
    message = signature.sign(b"s", b"green.example", PEM, identity=identity.replace(b"not", b"x.")) + MESSAGE
    if b"not" in identity:
        message = message.replace(b"@x.green", b"@notgreen")
    [found] = await results(message, zone(b"v=DKIM1; " + flags + b"p=" + PUBLIC))
    assert found.result is result, found


@pytest.mark.parametrize("answer", [Answer.TIMEOUT, Answer.FAILED, Answer.BOGUS])
async def test_a_key_that_dns_does_not_tell_is_no_verdict(answer: Answer) -> None:
    [found] = await results(signed(), zone(answer))
    assert (found.result, found.domain) == (Result.TEMPERROR, "green.example")


@pytest.mark.parametrize("top", [b" folded: first\r\n", b"no colon\r\n", b"From : x@y.example\r\n", b"\xff\xfe: x\r\n"])
async def test_a_header_that_can_not_be_read_has_no_signature_that_holds(top: bytes) -> None:
    assert all(one.result is not Result.PASS for one in await results(top + signed()))


async def test_only_the_first_few_are_looked_at() -> None:
    dns = zone()
    found = await results(b"DKIM-Signature: v=1; broken\r\n" * 5 + signed(), dns)
    assert [one.result for one in found] == [Result.NEUTRAL] * 5
    assert dns.asked == []


async def test_an_unsigned_message_asks_nobody() -> None:
    dns = zone()
    assert await results(MESSAGE, dns) == []
    assert dns.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b" \r\n",
        b" \t \r\n\r\n  \r\n",
        b"no line end",
        b"a\r\n \r\n b  c\t\r\n",
        b"x" * 300 + b" " * 20_000 + b"y\r\n",
        b"\t" * 20_000 + b"\r\n",
        b"a \r\n" * 40_000,
        b"a" + b"\r\n" * 100_000,
    ],
)
@pytest.mark.parametrize("canonicalisation", [b"simple", b"relaxed"])
async def test_bodies_are_hashed_as_dkimpy_does_it(body: bytes, canonicalisation: bytes) -> None:
    message = b"From: x@green.example\r\n\r\n" + body
    [found] = await results(signed(message, canonicalize=(b"relaxed", canonicalisation)))
    assert found.result is Result.PASS, found


DATA = "dkimpy-1.1.8/dkim/tests/data"


def data(name: str) -> bytes:
    content = vectors(f"{DATA}/{name}")
    if content is None:
        pytest.skip("dkimpy's source package isn't here; scripts/vectors fetches it")
    return content


def crlf(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def keys_of_dkimpy() -> FakeDns:
    return FakeDns(
        {
            ("test._domainkey.football.example.com", "TXT"): [data("test.txt").strip()],
            ("brisbane._domainkey.football.example.com", "TXT"): [ED25519],
            ("sed._domainkey.test.ex", "TXT"): [data("eximtest.dns").strip()],
        }
    )


#: The key of RFC 8463 App. A.2, which dkimpy's data use too.
ED25519 = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rfc6376.signed.msg", [Result.PASS, Result.PASS]),
        ("rfc6376.signed.rsa.msg", [Result.PASS]),
        ("rfc6376.signed.no_t.msg", [Result.FAIL]),
        ("ed25519test2.msg", [Result.PASS]),
    ],
)
async def test_the_signed_messages_of_dkimpy(name: str, expected: list[Result]) -> None:
    assert [one.result for one in await results(crlf(data(name)), keys_of_dkimpy())] == expected


@pytest.mark.parametrize("key", ["badk.txt", "badversion.txt", "test_bad.txt", "test_tlsrpt.txt"])
async def test_the_bad_keys_of_dkimpy(key: str) -> None:
    dns = keys_of_dkimpy()
    dns.zone["test._domainkey.football.example.com", "TXT"] = [data(key).strip()]
    [found] = await results(crlf(data("rfc6376.signed.rsa.msg")), dns)
    assert found.result is Result.PERMERROR, found


#: RFC 8463 App. A.3: one message with both kinds of signature.
RFC_8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""


async def test_the_message_of_rfc_8463() -> None:
    dns = FakeDns(
        {
            ("test._domainkey.football.example.com", "TXT"): [data("test.txt").strip()],
            ("brisbane._domainkey.football.example.com", "TXT"): [ED25519],
        }
    )
    message = crlf(RFC_8463)
    assert [(one.algorithm, one.result) for one in await results(message, dns)] == [
        ("ed25519-sha256", Result.PASS),
        ("rsa-sha256", Result.PASS),
    ]
    flipped = message.replace(b"hungry", b"hungri")
    assert [one.result for one in await results(flipped, dns)] == [Result.FAIL, Result.FAIL]
