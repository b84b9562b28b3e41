"""MLLP's framing, whatever the borders of the blocks that it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mllp.frames import Frames, Mark, framed
from tests.kit.hl7 import sample

#: Octets that may stand in a message.
MESSAGES = st.lists(st.binary(max_size=40).filter(lambda octets: not set(octets) & {0x0B, 0x1C}), max_size=5)
NOISE = st.binary(max_size=5).filter(lambda octets: 0x0B not in octets)


def messages_of(blocks: list[bytes]) -> list[bytes]:
    """The messages that ended."""
    frames, whole, found = Frames(), b"", []
    for block in blocks:
        for piece in frames.feed(block):
            if piece is Mark.START:
                whole = b""
            elif piece is Mark.END:
                found.append(whole)
            else:
                assert isinstance(piece, bytes)
                whole += piece
    return found


@given(MESSAGES, NOISE, st.data())
def test_messages_come_out_as_they_went_in(messages: list[bytes], noise: bytes, data: st.DataObject) -> None:
    stream = noise + b"".join(framed(message) + noise for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    blocks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert messages_of(blocks) == messages


@given(st.binary(max_size=200))
def test_any_octets_are_taken(octets: bytes) -> None:
    assert messages_of([octets]) == messages_of([octets[at : at + 1] for at in range(len(octets))])


def test_a_message_that_another_one_breaks_off_is_dropped() -> None:
    assert messages_of([b"\x0bfirst\x0bsecond\x1c\r\x0bthird"]) == [b"second"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 5000])
def test_the_samples_hold_what_they_are_made_of(size: int) -> None:
    order, result = sample("oml_o21_lab2lab_latin1.hl7"), sample("oul_r22_lab2lab_latin1.hl7")
    two, broken = sample("mllp_two_messages.bin"), sample("mllp_split_and_garbage.bin")
    assert messages_of([two[at : at + size] for at in range(0, len(two), size)]) == [order, result]
    assert messages_of([broken[at : at + size] for at in range(0, len(broken), size)])[0] == order


def test_the_last_octet_may_be_missing() -> None:
    assert messages_of([b"\x0bone\x1c\x0btwo\x1c"]) == [b"one", b"two"]
