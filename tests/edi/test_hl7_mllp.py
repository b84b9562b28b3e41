"""MLLP's frames: whatever the blocks, the messages are the same; nothing is waited for in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi.mllp_wire import FrameBroken, Frames, FrameTooLong, frame
from tests.kit.hl7 import sample


def feed(data: bytes, size: int) -> list[bytes]:
    frames = Frames()
    return [message for at in range(0, len(data), size) for message in frames.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 5000])
@pytest.mark.parametrize("name", ["mllp_two_messages.bin", "mllp_split_and_garbage.bin"])
def test_frames_hold_their_messages_in_blocks_of_any_size(name: str, size: int) -> None:
    expected = [sample("oml_o21_lab2lab_latin1.hl7"), sample("oul_r22_lab2lab_latin1.hl7")]
    found = feed(sample(name), size)
    assert found[0] == expected[0]
    if name == "mllp_two_messages.bin":
        assert found == expected


MESSAGES = st.lists(st.binary(max_size=60).map(lambda octets: octets.translate(None, b"\x0b\x1c")), max_size=5)


@given(MESSAGES, st.integers(1, 50))
def test_what_is_framed_comes_out(messages: list[bytes], size: int) -> None:
    assert feed(b"".join(frame(message) for message in messages), size) == messages


@given(st.binary(max_size=200), st.integers(1, 50))
def test_block_borders_make_no_difference(data: bytes, size: int) -> None:
    assert feed(data, size) == feed(data, len(data) or 1)


def test_the_end_of_block_alone_ends_a_message() -> None:
    frames = Frames()
    assert frames.feed(b"\x0bMSH|a\x1c") == [b"MSH|a"]
    assert not frames.is_inside
    assert frames.feed(b"\r") == []
    assert frames.ignored == 0


def test_octets_outside_frames_are_ignored_and_counted() -> None:
    frames = Frames()
    assert frames.feed(b"junk\r\n\x0bone\x1c\rmore\x0btwo") == [b"one"]
    assert frames.is_inside
    assert frames.feed(b"\x0bthree\x1c\r") == [b"three"]
    assert frames.ignored == len("junk" + "more" + "two")


def test_a_message_without_end_is_given_up_at_the_limit() -> None:
    frames = Frames(most=10)
    assert frames.feed(b"\x0b0123456789\x1c\r\x0b01234") == [b"0123456789"]
    with pytest.raises(FrameTooLong):
        frames.feed(b"567890")


@pytest.mark.parametrize("octet", [b"\x0b", b"\x1c"])
def test_what_would_break_its_frame_is_refused(octet: bytes) -> None:
    with pytest.raises(FrameBroken):
        frame(b"a" + octet)
