"""The wire: it slows a peer down that sends faster than is read, and never mixes up what it was given."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.smtp import replies
from relayd.smtp.wire import HIGH_WATER, LINE_LIMIT, Hangup, Wire


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.written = b""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False


async def make_wire() -> tuple[Wire, FakeTransport]:
    wire, transport = Wire(asyncio.get_running_loop(), 20), FakeTransport()
    wire.attach(transport)
    return wire, transport


async def test_reading_pauses_until_somebody_reads() -> None:
    wire, transport = await make_wire()
    wire.feed(b"x" * (HIGH_WATER - 1))
    assert transport.reading
    wire.feed(b"x")
    assert not transport.reading
    assert len(await wire.block()) == HIGH_WATER
    assert transport.reading


async def test_replies_wait_for_the_end_of_the_group() -> None:
    wire, transport = await make_wire()
    wire.feed(b"one\r\ntwo\r\nthr")
    for number in (b"1", b"2"):
        await wire.line()
        wire.write(number)
    assert transport.written == b""
    waiting = asyncio.ensure_future(wire.line())
    await asyncio.sleep(0)
    assert transport.written == b"12"
    wire.feed(b"ee\r\n")
    assert await waiting == b"three"
    wire.close()


async def test_nothing_more_is_read_for_a_peer_that_takes_no_replies() -> None:
    wire, transport = await make_wire()
    wire.pause_writing()
    wire.write(b"reply")
    waiting = asyncio.ensure_future(wire.line())
    await asyncio.sleep(0)
    wire.feed(b"x" * HIGH_WATER)
    await asyncio.sleep(0)
    assert not transport.reading
    wire.resume_writing()
    with pytest.raises(Hangup) as ending:
        await waiting
    assert ending.value.reply == replies.LINE_TOO_LONG
    wire.close()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda octets: octets.translate(None, b"\r\n\0"))), st.integers(1, 50))
async def test_lines_come_out_as_they_went_in(lines: list[bytes], step: int) -> None:
    wire, _ = await make_wire()
    stream = b"".join(line + b"\r\n" for line in lines)

    async def feed() -> None:
        for start in range(0, len(stream), step):
            wire.feed(stream[start : start + step])
            await asyncio.sleep(0)
        wire.end()

    feeding = asyncio.ensure_future(feed())
    assert [await wire.line() for _ in lines] == lines
    with pytest.raises(Hangup):
        await wire.line()
    await feeding
    wire.close()


@pytest.mark.parametrize(
    "line", [b"\n", b"a\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r\r\n", b"x" * (LINE_LIMIT + 1) + b"\r\n"]
)
async def test_lines_that_end_the_session(line: bytes) -> None:
    wire, _ = await make_wire()
    wire.feed(line)
    with pytest.raises(Hangup) as ending:
        await wire.line()
    assert ending.value.reply in (replies.BROKEN_LINE, replies.LINE_TOO_LONG)
