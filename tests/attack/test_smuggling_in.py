"""SMTP smuggling, inbound: whatever stands around an apparent end of data, one message is never taken for two.

All strings over the octets that matter, up to a length, in every split: no list of known tricks could be complete.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from relayd.settings.models import SmtpLimits
from relayd.smtp import replies
from relayd.smtp.data import ChunkReader, Content, DotReader, clean
from relayd.smtp.wire import Wire
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import FakeReceiving, running

ALPHABET = (b"\r", b"\n", b".", b"\0", b"x")
HEAD = b"A: b\r\n\r\n"
#: Behind the apparent end: what would be a second message if somebody believed in it.
SECOND = b"MAIL FROM:<second@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nA: b\r\n\r\nsmuggled"
END = b"\r\n.\r\n"


def strings(longest: int) -> Iterator[bytes]:
    for length in range(longest + 1):
        for letters in itertools.product(ALPHABET, repeat=length):
            yield b"".join(letters)


def halves(octets: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Every split in two from ``start`` on."""
    for cut in range(start, len(octets) + 1):
        yield octets[:cut], octets[cut:]


def read(blocks: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Content and rest of DATA that comes in these blocks."""
    dots = DotReader()
    content = rest = b""
    for block in blocks:
        if dots.ended:
            rest += block
        else:
            content += dots.feed(block)
            rest = dots.rest
    assert dots.ended
    return content, rest


def specified(octets: bytes) -> tuple[bytes, bytes]:
    """RFC 5321 §4.5.2 in other words: lines end in CRLF and nothing else does."""
    *lines, rest = octets.split(b"\r\n")
    end = lines.index(b".")
    content = b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines[:end])
    return content, b"\r\n".join([*lines[end + 1 :], rest])


def test_data_ends_where_the_rfc_says_whatever_surrounds_it_and_however_it_is_split() -> None:
    wrong = []
    for string in strings(6):
        octets = HEAD + b"y" + string + b"z" + END + b"QUIT\r\n"
        expected = specified(octets)
        splits = halves(octets, len(HEAD)) if len(string) < 6 else [(octets,)]
        wrong += [(string, split) for split in splits if read(split) != expected]
    assert wrong == []


def test_data_that_begins_with_anything_ends_where_the_rfc_says() -> None:
    wrong = []
    for string in strings(5):
        octets = string + b"z" + END
        wrong += [split for split in halves(octets, 0) if read(split) != specified(octets)]
    assert wrong == []


def test_nothing_that_another_server_could_take_for_an_end_is_accepted() -> None:
    """What is accepted has CRLF line ends only, so that no reader can see an end that we did not."""
    wrong = []
    for string in strings(6):
        if b"\r\n.\r\n" in b"y" + string + SECOND:
            continue  # an honest end: the message is over, and what follows are honest commands
        content = Content(FakeReceiving(), SmtpLimits())
        content.write(read((HEAD + b"y" + string + SECOND + END,))[0])
        harmless = set(string.replace(b"\r\n", b"")).isdisjoint(b"\r\n\0")
        if content.refusal != (None if harmless else replies.BARE_LINE_END):
            wrong.append(string)
    assert wrong == []


async def chunked(chunks: tuple[bytes, ...]) -> tuple[Content, bytes]:
    """Content of BDAT in these chunks, and what is left on the wire."""
    wire = Wire(asyncio.get_running_loop(), 20)
    reader = ChunkReader(Content(FakeReceiving(), SmtpLimits()))
    wire.feed(b"".join(chunks) + b"QUIT\r\n")
    for chunk in chunks:
        await reader.read(wire, len(chunk))
    reader.finish()
    line = await wire.line()
    wire.close()
    return reader.content, line


async def test_chunks_are_counted_and_nothing_in_them_is_a_command_or_an_end() -> None:
    for string in strings(5):
        octets = b"y" + string
        for first, second in halves(octets, 0):
            content, line = await chunked((HEAD, first, second))
            assert line == b"QUIT", (first, second)
            assert isinstance(content.receiving, FakeReceiving)
            if clean(octets):
                whole = HEAD + octets + (b"" if octets.endswith(b"\r\n") else b"\r\n")
                assert (content.refusal, b"".join(content.receiving.blocks)) == (None, whole)
            else:
                assert content.refusal == replies.BARE_LINE_END, (first, second)


LINE_ENDS = (b"\r", b"\n", b"\0")
#: Each dot between things that some server takes for line ends, except the honest end itself.
VECTORS = [
    before + b"." + after
    for before in map(b"".join, itertools.product((b"", *LINE_ENDS), repeat=2))
    for after in map(b"".join, itertools.product((b"", *LINE_ENDS), repeat=2))
    if before and after and (before, after) != (b"\r\n", b"\r\n")
]


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
async def test_a_session_takes_no_message_and_stays_in_step(verb: str) -> None:
    async with running() as server:
        for vector in VECTORS:
            client = await Client.connect("127.0.0.1", server.port)
            await client.reply()
            for command in ("EHLO c.example", "MAIL FROM:<first@b.example>", "RCPT TO:<c@d.example>"):
                client.send(command.encode() + b"\r\n")
                await client.reply()
            content = HEAD + b"y" + vector + SECOND
            if verb == "DATA":
                assert (await client.say("DATA")).startswith("354 ")
                client.send(content + END)
            else:
                client.send(b"BDAT %d LAST\r\n" % len(content) + content)
            # One reply to the message, and the next one is to the command that we send next.
            assert (await client.reply())[-1] == "550 5.6.0 " + replies.BARE_LINE_END.text, vector
            assert await client.say("VRFY x") == "252 2.0.0 Addresses aren't verified here; send the message and see"
            await client.close()
        assert [str(taken.envelope.sender) for taken in server.door.taken] == ["first@b.example"] * len(VECTORS)
        assert server.door.messages == []
