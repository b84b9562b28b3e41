"""Mutations of signed and sealed messages: nothing passes here that dkimpy, which reads the whole message, refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator

import dkim
import pytest

from relayd.authenticity import arc, dkim_verify
from relayd.authenticity.results import Result
from tests.kit.dkim import PEM, RECORD, signed
from tests.kit.dns import FakeDns
from tests.kit.judging import MemoryBody

MESSAGE = (
    b"From: Jan <jan@green.example>\r\nTo: y@x.example,\r\n\tz@x.example\r\nSubject: a  b\r\n"
    b"Date: Thu, 01 Jan 2026 12:00:00 +0100\r\nMessage-ID: <1@green.example>\r\n\r\nHello  there \r\n\r\nbye\r\n\r\n"
)
PIECES = [
    b" ",
    b"\t",
    b"\r\n ",
    b"\r\n",
    b";",
    b"=",
    b" b=AAAA",
    b":",
    b"l=5; ",
    b"i=1; ",
    b"From: x@y.example\r\n",
    b"x",
]


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``content`` itself, then with one to three changes; mostly in its upper half, where the signature stands."""
    choose = random.Random(seed)
    yield content
    for _ in range(count):
        changed = content
        for _ in range(choose.randint(1, 3)):
            at = int(choose.random() ** 2 * len(changed))
            cut = choose.choice((0, 0, 1, 3))
            changed = changed[:at] + choose.choice((*PIECES, b"", b"")) + changed[at + cut :]
        # As SMTP would have it: no bare CR or LF, and a line end at the end.
        lines = changed.replace(b"\r\n", b"\n").replace(b"\r", b"").removesuffix(b"\n").split(b"\n")
        yield b"\r\n".join((*lines, b""))


def key(name: bytes, timeout: float = 5) -> bytes | None:
    return RECORD if name.rstrip(b".") == b"s._domainkey.green.example" else None


DNS = FakeDns({("s._domainkey.green.example", "TXT"): [RECORD]})


@pytest.mark.parametrize("head", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
async def test_signatures(head: bytes, body: bytes) -> None:
    passed = 0
    for content in mutations(signed(MESSAGE, canonicalize=(head, body)), 400, seed=1):
        found = await dkim_verify.verify(MemoryBody(content), DNS, 1_800_000_000.0)
        for index, one in enumerate(found):
            if one.result is Result.PASS:
                passed += 1
                assert dkim.DKIM(content).verify(idx=index, dnsfunc=key), content
    assert passed


async def test_chains() -> None:
    with_results = b"Authentication-Results: hop.example; arc=none\r\n" + MESSAGE
    sealed = b"".join(dkim.arc_sign(with_results, b"s", b"green.example", PEM, b"hop.example")) + MESSAGE
    passed = 0
    for content in mutations(sealed, 400, seed=2):
        if (await arc.verify(MemoryBody(content), DNS)).result is Result.PASS:
            passed += 1
            assert dkim.arc_verify(content, dnsfunc=key)[0] == dkim.CV_Pass, content
    assert passed
