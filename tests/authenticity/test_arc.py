"""ARC chains, sealed with dkimpy."""

from __future__ import annotations

import re
from collections.abc import Callable

import dkim
import pytest

from relayd.authenticity.arc import verify
from relayd.authenticity.results import Arc, Result
from relayd.dns.records import Answer
from tests.kit.dkim import PEM, RECORD, public_key
from tests.kit.dns import FakeDns
from tests.kit.judging import MemoryBody

MESSAGE = b"From: x@green.example\r\nTo: y@x.example\r\nSubject: Hi\r\nDate: Thu, 01 Jan 2026 12:00:00 +0100\r\n"
MESSAGE += b"Message-ID: <1@green.example>\r\n\r\nHello  there \r\nbye\r\n"


def sealed(message: bytes = MESSAGE, cv: str = "none") -> bytes:
    """``message`` as hop.example passes it on."""
    with_results = b"Authentication-Results: hop.example; arc=%b\r\n" % cv.encode() + message
    fields = dkim.arc_sign(with_results, b"s", b"hop.example", PEM, b"hop.example")
    return b"".join(fields) + message


async def judged(message: bytes, record: bytes | Answer = RECORD) -> Arc:
    found = record if isinstance(record, Answer) else [record]
    return await verify(MemoryBody(message), FakeDns({("s._domainkey.hop.example", "TXT"): found}))


async def test_chains_that_hold() -> None:
    once = sealed()
    twice = sealed(once, "pass")
    assert await judged(MESSAGE) == Arc(Result.NONE)
    assert await judged(once) == Arc(Result.PASS, 1)
    assert await judged(twice) == Arc(Result.PASS, 2)
    assert await judged(b"X-Later: yes\r\n" + twice) == Arc(Result.PASS, 2)


async def test_every_key_is_asked_for_once() -> None:
    dns = FakeDns({("s._domainkey.hop.example", "TXT"): [RECORD]})
    await verify(MemoryBody(sealed(sealed(), "pass")), dns)
    assert len(dns.asked) == 1


async def test_of_a_long_chain_no_key_is_asked_for() -> None:
    message = MESSAGE
    for number in range(1, 12):
        for field in ("Seal", "Message-Signature"):
            tags = f"i={number}; cv=none; d=hop.example; s={field}{number}; h=from; bh=; b="
            message = f"ARC-{field}: {tags}\r\n".encode() + message
        message = f"ARC-Authentication-Results: i={number}; x\r\n".encode() + message
    dns = FakeDns({})
    assert await verify(MemoryBody(message), dns) == Arc(Result.FAIL, 10, "more than 10 instances")
    assert dns.asked == []


def without(pattern: bytes) -> Callable[[bytes], bytes]:
    return lambda message: re.sub(pattern, b"", message, count=1, flags=re.DOTALL)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "a changed body": lambda message: message.replace(b"Hello", b"Goodbye"),
    "a changed header": lambda message: message.replace(b"Subject: Hi", b"Subject: Ho"),
    "a changed seal": lambda message: message.replace(b"cv=pass", b"cv=none"),
    "a chain that was broken before": lambda message: message.replace(b"cv=pass", b"cv=fail"),
    "a set without its seal": without(rb"ARC-Seal: i=2.*?(?=ARC-)"),
    "a set without its results": without(rb"ARC-Authentication-Results: i=1.*?(?=ARC-|From)"),
    "a set twice": lambda message: b"ARC-Seal: i=2; cv=pass\r\n" + message,
    "a gap": lambda message: message.replace(b"i=2;", b"i=3;"),
    "instance nought": lambda message: message.replace(b"i=1;", b"i=0;"),
    "a huge instance": lambda message: message.replace(b"i=2;", b"i=999999999999;"),
    "two instances": lambda message: message.replace(b"ARC-Seal: i=2;", b"ARC-Seal: i=2; i=1;"),
    "no instance": lambda message: message.replace(b"i=2;", b""),
    "hundreds of sets": lambda message: (
        b"".join(
            b"ARC-Seal: i=%d;\r\nARC-Message-Signature: i=%d;\r\nARC-Authentication-Results: i=%d;\r\n" % (n, n, n)
            for n in range(3, 300)
        )
        + message
    ),
    "one field alone": lambda message: b"ARC-Seal: i=1; cv=none\r\n" + MESSAGE,
    "octets that are no text": lambda message: message.replace(b"ARC-Seal: i=2;", b"ARC-Seal: i=2; \xff=\xff;"),
    "a header that can't be read": lambda message: b"From : y@other.example\r\n" + message,
    "no names": lambda message: message.replace(b"d=hop.example", b"d="),
    "a false b= among the names": lambda message: message.replace(b"subject :", b"subject b=AAAA :"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_chains_that_do_not_hold(case: str) -> None:
    message = BROKEN[case](sealed(sealed(), "pass"))
    found = await judged(message)
    assert (found.result, found.instances <= 10) == (Result.FAIL, True), found


@pytest.mark.parametrize("record", [b"v=DKIM1; p=", b"v=spf1", b"p=" + public_key(512), Answer.NO_NAME])
async def test_a_key_that_proves_nothing(record: bytes | Answer) -> None:
    assert (await judged(sealed(), record)).result is Result.FAIL


async def test_a_key_that_dns_does_not_tell() -> None:
    assert (await judged(sealed(), Answer.TIMEOUT)).result is Result.TEMPERROR
