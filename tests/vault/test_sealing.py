"""Sealed bytes: Tink opens ours and we open Tink's; nothing altered, moved or cut off opens."""

from __future__ import annotations

import io
from typing import Any

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from relayd.errors import SealBroken
from relayd.vault.sealing import (
    HEADER,
    SEGMENT,
    Opener,
    Sealer,
    pack,
    plain_size,
    seal,
    sealed_size,
    segment_at,
    unseal,
)

KEY = bytes(range(32))
ABOUT = b"what it belongs to"
BORDERS = [0, 1, 65479, 65480, 65481, 65480 + 65520, 65480 + 65520 + 1, 200_000]


def content(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def tinks(key: bytes) -> Any:
    """Tink's own primitive with our key and parameters."""
    streaming_aead.register()
    streaming = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=SEGMENT, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
        key_value=key,
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=streaming.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Keeps what was written when Tink closes it."""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


@pytest.mark.parametrize("size", BORDERS)
def test_tink_opens_what_we_seal(size: int) -> None:
    sealed = seal(KEY, ABOUT, content(size))
    with tinks(KEY).new_decrypting_stream(io.BytesIO(sealed), ABOUT) as stream:
        assert stream.read() == content(size)


@pytest.mark.parametrize("size", BORDERS)
def test_we_open_what_tink_seals(size: int) -> None:
    kept = Kept()
    with tinks(KEY).new_encrypting_stream(kept, ABOUT) as stream:
        stream.write(content(size))
    assert unseal(KEY, ABOUT, kept.kept) == content(size)


@pytest.mark.parametrize("size", BORDERS)
def test_sizes_are_known_both_ways(size: int) -> None:
    sealed = seal(KEY, ABOUT, content(size))
    assert len(sealed) == sealed_size(size)
    assert plain_size(len(sealed)) == size


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 150_000), max_size=4))
def test_the_pieces_it_arrives_in_do_not_matter(pieces: list[int]) -> None:
    plain = content(sum(pieces))
    sealer, sealed, start = Sealer(KEY, ABOUT), b"", 0
    for size in pieces:
        sealed += sealer.update(plain[start : start + size])
        start += size
    sealed += sealer.finish()
    assert unseal(KEY, ABOUT, sealed) == plain


def test_any_segment_opens_by_itself() -> None:
    plain = content(200_000)
    sealed = seal(KEY, ABOUT, plain)
    opener = Opener(KEY, ABOUT, sealed[:HEADER], len(sealed))
    for position in (0, 65479, 65480, 131_000, 131_001, 199_999):
        number, within = segment_at(position)
        start, end = opener.extent(number, number)
        assert opener.open(number, sealed[start:end])[within] == plain[position]


def places(sealed: bytes) -> list[int]:
    """Every octet that begins or ends a field or a segment."""
    borders = [0, 1, 33, HEADER, len(sealed) - 16, len(sealed)]
    borders += [number * SEGMENT for number in range(1, len(sealed) // SEGMENT + 1)]
    return sorted({place for border in borders for place in (border - 1, border) if 0 <= place < len(sealed)})


def test_one_flipped_bit_anywhere_at_a_border_is_noticed() -> None:
    sealed = seal(KEY, ABOUT, content(140_000))
    for place in places(sealed):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(SealBroken):
            unseal(KEY, ABOUT, bytes(altered))


def test_cutting_off_swapping_and_appending_segments_is_noticed() -> None:
    sealed = seal(KEY, ABOUT, content(200_000))
    one, two, three = (sealed[n * SEGMENT : (n + 1) * SEGMENT] for n in range(3))
    rest = sealed[3 * SEGMENT :]
    for broken in (one, one + two, one + three + two + rest, sealed + rest, sealed[:-1], sealed[:HEADER], b""):
        with pytest.raises(SealBroken):
            unseal(KEY, ABOUT, broken)


def test_it_opens_only_with_its_key_and_for_what_it_belongs_to() -> None:
    sealed = seal(KEY, ABOUT, b"secret")
    with pytest.raises(SealBroken):
        unseal(KEY, b"something else", sealed)
    with pytest.raises(SealBroken):
        unseal(bytes(32), ABOUT, sealed)


def test_packed_fields_keep_their_borders() -> None:
    assert pack("ab", "c") != pack("a", "bc")
    assert pack("a", "") != pack("a")
