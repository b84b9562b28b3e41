"""What counts is the content after decoding."""

from __future__ import annotations

import base64
import os
import quopri

import pytest

from policies.message_size import MessageSizeOptions, MessageSizePolicy
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Refuse
from tests.kit.judging import context, listed, mail

LIMIT = 100_000


def part(encoding: str, encoded: bytes) -> bytes:
    head = f"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    return head + encoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def message(*parts: bytes) -> bytes:
    head = b'From: a@x.example\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return head + b"".join(parts) + b"--b--\r\n"


async def is_refused(content: bytes) -> bool:
    policy = MessageSizePolicy(MessageSizeOptions(limit=LIMIT))
    (verdict,) = listed(await policy.judge(mail(content), Stage.MESSAGE, context()))
    if isinstance(verdict, Refuse):
        assert (verdict.reply.code, verdict.reply.enhanced) == (552, "5.3.4")
        return True
    return False


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("encoding", ["base64", "base64 in one line", "quoted-printable", "8bit"])
async def test_the_limit_is_exact(encoding: str, over: bool) -> None:
    size = LIMIT + over
    if encoding == "base64":
        content = message(part("base64", base64.encodebytes(os.urandom(size))))
    elif encoding == "base64 in one line":
        content = message(part("base64", base64.b64encode(os.urandom(size))))
    elif encoding == "quoted-printable":
        content = message(part(encoding, quopri.encodestring(b"\xc3\xa9" * (size // 2) + b"x" * (size % 2))))
    else:
        content = message(part(encoding, b"x" * size))
    assert await is_refused(content) == over


async def test_parts_add_up() -> None:
    two_thirds = part("base64", base64.encodebytes(os.urandom(LIMIT * 2 // 3)))
    assert not await is_refused(message(two_thirds))
    assert await is_refused(message(two_thirds, two_thirds))


async def test_headers_and_encoding_cost_nothing() -> None:
    content = b"X-Long: " + b"x" * LIMIT + b"\r\n" + message(part("quoted-printable", b"=41" * (LIMIT - 10)))
    assert not await is_refused(content)


def test_the_default_is_36_mb() -> None:
    assert MessageSizeOptions().limit == 36_000_000
