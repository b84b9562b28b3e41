"""SMTP smuggling, outbound: a next hop that takes other things for the end of data than CRLF.CRLF still sees one end.

The raw octets are looked at, behind the daemon's own patches and at every border of blocks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.delivery.client import Client, Hop, Timeouts
from relayd.delivery.stuffing import DotStuffer
from relayd.delivery.transaction import Transaction
from relayd.mail.meta import HeaderPatch
from relayd.mail.patch import PatchedBody
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import Security, TlsDemand
from tests.kit.jobs import Blocks, make_delivery, make_message
from tests.kit.judging import MemoryBody
from tests.kit.peer import Peer, Script

#: What the most lenient server takes for the end: a dot alone between any line ends, NULs beside it ignored.
LENIENT_END = re.compile(rb"(?:\A|[\r\n])\0*\.\0*[\r\n]")
LINES = (b"\r\n", b".", b"x")
HEAD = b"From: a@hospital.example\r\nSubject: x\r\n"
PUT = b"Received: from a\r\n\tby b\r\n"
PATIENT = Timeouts(connect=5, greeting=5, command=5, data=5, block=5, final_dot=5)


def bodies(longest: int) -> Iterator[bytes]:
    """All that can pass the door: lines, dots and other octets."""
    for length in range(longest + 1):
        yield from map(b"".join, itertools.product(LINES, repeat=length))


def wire_form(blocks: list[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([stuffer.feed(block) for block in blocks]) + stuffer.end()


def received(octets: bytes) -> bytes:
    """What an honest receiver keeps (RFC 5321 §4.5.2)."""
    lines = octets.split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2, octets
    return b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines[:-2])


def ends(octets: bytes) -> list[int]:
    return [match.end() for match in LENIENT_END.finditer(octets)]


def test_the_most_lenient_receiver_sees_one_end_at_every_border_of_blocks() -> None:
    wrong = []
    for body in bodies(6):
        whole = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
        for first in range(len(body) + 1):
            for second in range(first, min(len(body), first + 4) + 1):
                sent = wire_form([body[:first], body[first:second], body[second:]])
                # The CR before its LF is where the match ends.
                if ends(sent) != [len(sent) - 1] or received(sent) != whole:
                    wrong.append((body, first, second))
    assert wrong == []


@pytest.mark.parametrize("patch", [HeaderPatch(), HeaderPatch(put=PUT), HeaderPatch((0,), PUT), HeaderPatch((0, 1))])
async def test_a_patched_header_is_stuffed_like_the_rest(patch: HeaderPatch) -> None:
    """Dots at the start of header lines, of the body, and right where the patch ends."""
    wrong = []
    for lines in itertools.product((b".", b"..", b".\x20", b"A: b", b""), repeat=3):
        content = HEAD + b"".join(line + b"\r\n" for line in lines)
        body = PatchedBody(MemoryBody(content), patch)
        blocks = [block async for block in body.blocks()]
        sent = wire_form(blocks)
        if ends(sent) != [len(sent) - 1] or received(sent) != b"".join(blocks):
            wrong.append(lines)
    assert wrong == []


@pytest.mark.parametrize("block", [1, 2, 3, 5, 64, 4096, 65_536])
async def test_the_octets_on_the_wire_hold_one_end(block: int, tmp_path: Path) -> None:
    path = str(tmp_path / "peer")
    # Longer than what goes out in one write, with a dot at the border of every block of these sizes.
    tricky = b"\r\n.\r\n\r\n..\r\n...\r\n.x\r\n.MAIL FROM:<a@b>\r\n"
    octets = HEAD + b"\r\n" + tricky * min(4000, 20 + 3 * block)
    async with Peer(Script(starttls=False), path=path) as peer:
        client = Client(Hop("peer", 0, TlsDemand(Security.OFFERED), socket_path=path), "relay.example", PATIENT)
        await client.open("", ClientTls())
        answers = await Transaction(
            client, make_message(), [make_delivery()], Blocks(octets, block), lambda: True
        ).run()
        client.abort()
    assert [answer.reply for answer in answers] == ["250 2.0.0 taken"]
    raw = peer.received[0].raw
    assert ends(raw) == [len(raw) - 1]
    assert received(raw) == octets
