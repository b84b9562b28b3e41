"""The content of DATA and BDAT: its end, its dots, what is refused, whatever the borders of the blocks."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.settings.models import SmtpLimits
from relayd.smtp import replies
from relayd.smtp.data import ChunkReader, Content, DotReader, clean, read_data
from relayd.smtp.wire import Wire
from tests.kit.smtp_door import FakeReceiving

#: The octets that matter to a smuggler, and one that doesn't.
MEANINGFUL = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b".", b"\r\n", b"\r\n.\r\n", b"\r\n..", b"x"])).map(
    b"".join
)

#: Ends of data that some servers took for one (facts of CVE-2023-51764 and its kin).
SMUGGLING = [
    b"\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(borders)]


def unstuffed(octets: bytes) -> tuple[bytes, bytes] | None:
    """The specification, line by line: RFC 5321 §4.5.2."""
    content = b""
    while True:
        line, end, octets = octets.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            return content, octets
        content += (line[1:] if line.startswith(b".") else line) + end


@settings(deadline=None)
@given(MEANINGFUL, st.lists(st.integers(0, 200), max_size=5), st.booleans())
def test_dot_reader_agrees_with_the_line_by_line_specification(octets: bytes, cuts: list[int], ended: bool) -> None:
    if ended:
        octets += b"\r\n.\r\nQUIT\r\n"
    dots = DotReader()
    content, rest = b"", b""
    for piece in pieces(octets, cuts):
        if dots.ended:
            rest += piece
        else:
            content += dots.feed(piece)
            rest += dots.rest
    expected = unstuffed(octets)
    assert dots.ended == (expected is not None)
    if expected is not None:
        assert (content, rest) == expected


@settings(deadline=None)
@given(MEANINGFUL)
def test_clean_is_exactly_the_rule(octets: bytes) -> None:
    without_pairs = octets.replace(b"\r\n", b"")
    assert clean(octets) == (not any(octet in without_pairs for octet in b"\r\n\0"))


async def receive_data(octets: bytes, cuts: list[int], limits: SmtpLimits | None = None) -> tuple[Content, Wire]:
    """As a session does, with the wire fed piece by piece while it is read."""
    wire = Wire(asyncio.get_running_loop(), 20)
    receiving = FakeReceiving()
    content = Content(receiving, limits or SmtpLimits())
    reading = asyncio.ensure_future(read_data(wire, content))
    for piece in pieces(octets, cuts):
        wire.feed(piece)
        await asyncio.sleep(0)
    await reading
    wire.close()
    return content, wire


async def receive_chunks(chunks: list[bytes], cuts: list[int], limits: SmtpLimits | None = None) -> Content:
    wire = Wire(asyncio.get_running_loop(), 20)
    reader = ChunkReader(Content(FakeReceiving(), limits or SmtpLimits()))

    async def read() -> None:
        for chunk in chunks:
            await reader.read(wire, len(chunk))
        reader.finish()

    reading = asyncio.ensure_future(read())
    for piece in pieces(b"".join(chunks), cuts):
        if piece:
            wire.feed(piece)
        await asyncio.sleep(0)
    await reading
    wire.close()
    return reader.content


def kept(content: Content) -> bytes:
    assert isinstance(content.receiving, FakeReceiving)
    return b"".join(content.receiving.blocks)


@pytest.mark.parametrize("vector", SMUGGLING)
@pytest.mark.parametrize("cut", range(0, 40, 3))
async def test_no_smuggled_end_ends_data(vector: bytes, cut: int) -> None:
    octets = b"a: b\r\n\r\nx" + vector + b"MAIL FROM:<a@b>\r\n.\r\nQUIT\r\n"
    content, wire = await receive_data(octets, [cut])
    assert content.refusal == replies.BARE_LINE_END
    assert await wire.line() == b"QUIT"
    assert isinstance(content.receiving, FakeReceiving)
    assert content.receiving.discarded


@pytest.mark.parametrize("vector", SMUGGLING)
@pytest.mark.parametrize("cut", range(0, 40, 3))
async def test_no_smuggled_end_passes_in_chunks(vector: bytes, cut: int) -> None:
    octets = b"a: b\r\n\r\nx" + vector + b"MAIL FROM:<a@b>\r\n"
    for chunks in ([octets], [octets[:cut], octets[cut:]]):
        content = await receive_chunks(chunks, [cut + 1])
        assert content.refusal == replies.BARE_LINE_END


async def test_a_bare_cr_at_the_very_end_of_chunks_is_refused() -> None:
    assert (await receive_chunks([b"a: b\r\n\r\nx\r"], [])).refusal == replies.BARE_LINE_END


@settings(deadline=None)
@given(MEANINGFUL, st.lists(st.integers(0, 200), max_size=4), st.lists(st.integers(0, 200), max_size=4))
async def test_chunks_give_the_same_message_however_they_are_cut(
    octets: bytes, borders: list[int], cuts: list[int]
) -> None:
    content = await receive_chunks(pieces(octets, borders), cuts)
    if clean(octets):
        assert content.refusal is None
        assert kept(content) == octets + (b"" if not octets or octets.endswith(b"\r\n") else b"\r\n")
    else:
        assert content.refusal == replies.BARE_LINE_END


@settings(deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=6))
async def test_the_header_limit_counts_the_same_however_it_is_cut(cuts: list[int]) -> None:
    limits = SmtpLimits(header_size=600)
    short, long = b"X-A: 1\r\n" * 70, b"X-A: 1\r\n" * 90
    for head, refused in ((short, False), (long, True)):
        content, _ = await receive_data(head + b"\r\n" + b"text\r\n" * 200 + b".\r\n", cuts, limits)
        assert (content.refusal == replies.HEADER_TOO_LARGE) == refused


async def test_a_message_without_header_is_all_body() -> None:
    content, _ = await receive_data(b"\r\n" + b"text\r\n" * 500 + b".\r\n", [], SmtpLimits(header_size=10))
    assert content.refusal is None


async def test_lines_beyond_1000_octets_are_passed_on() -> None:
    line = b"x" * 100_000
    content, _ = await receive_data(b"a: b\r\n\r\n" + line + b"\r\n.\r\n", [5, 70_000])
    assert content.refusal is None
    assert kept(content) == b"a: b\r\n\r\n" + line + b"\r\n"
