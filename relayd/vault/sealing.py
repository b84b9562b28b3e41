"""The format of sealed bytes: AES-256-GCM in 64 KiB segments, Tink's AES-GCM-HKDF streaming layout.

::

    sealed  = header segment*              segment 0 starts behind the header, every other at n * 65536
    header  = 40 (one octet) | salt (32) | nonce prefix (7)
    segment = AES-256-GCM(key, nonce, plain), 16 octets of tag included
    key     = HKDF-SHA256(input key, salt, info = associated data)
    nonce   = nonce prefix (7) | segment number (4, big endian) | 1 for the last segment, else 0

Every segment but the last is full, and even nothing has one segment. So truncation, reordering, splicing and bytes of
another message all fail to authenticate, and any range can be opened without what is before it. The tests open these
bytes with Tink itself.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relayd.errors import SealBroken

SEGMENT: Final = 65536
HEADER: Final = 40
TAG: Final = 16
_PLAIN: Final = SEGMENT - TAG
_FIRST: Final = _PLAIN - HEADER
_SALT: Final = 32


def sealed_size(size: int) -> int:
    """How many octets ``size`` plain octets become."""
    rest = max(0, size - _FIRST)
    return HEADER + size + TAG * (1 + -(-rest // _PLAIN))


def plain_size(sealed: int) -> int:
    """How many plain octets ``sealed`` octets hold; raises SealBroken for a length no seal can have."""
    segments = -(-sealed // SEGMENT)
    size = sealed - HEADER - TAG * segments
    if size < 0 or sealed_size(size) != sealed:
        raise SealBroken("sealed bytes have an impossible length")
    return size


def segment_at(position: int) -> tuple[int, int]:
    """The segment that holds plain octet ``position``, and where in that segment's plain octets it is."""
    if position < _FIRST:
        return 0, position
    number, within = divmod(position - _FIRST, _PLAIN)
    return number + 1, within


def pack(*fields: bytes | str) -> bytes:
    """Fields with their lengths in front, so that no two lists of fields give the same octets."""
    packed = bytearray()
    for value in fields:
        octets = value.encode() if isinstance(value, str) else value
        packed += len(octets).to_bytes(4, "big") + octets
    return bytes(packed)


def _cipher(key: bytes, salt: bytes, associated: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, associated).derive(key))


class Sealer:
    """Seals one stream as it arrives: ``update`` any number of times, then ``finish`` once."""

    def __init__(self, key: bytes, associated: bytes) -> None:
        salt = os.urandom(_SALT)
        self._prefix = os.urandom(7)
        self._cipher = _cipher(key, salt, associated)
        self._header = bytes([HEADER]) + salt + self._prefix
        self._held = bytearray()
        self._number = 0
        self._capacity = _FIRST

    def update(self, data: bytes) -> bytes:
        """The sealed octets that are complete now; the last segment is held back until more follows or ``finish``."""
        parts = [self._take_header()]
        start = self._capacity - len(self._held)
        if len(data) <= start:
            self._held += data
            return parts[0]
        with memoryview(data) as view:
            if self._held:
                self._held += view[:start]
                parts.append(self._segment(self._held, last=False))
                self._held.clear()
            else:
                start = 0
            while len(view) - start > self._capacity:
                end = start + self._capacity
                parts.append(self._segment(view[start:end], last=False))
                start = end
            self._held += view[start:]
        return b"".join(parts)

    def finish(self) -> bytes:
        """The last segment."""
        return self._take_header() + self._segment(self._held, last=True)

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header

    def _segment(self, plain: bytearray | memoryview, *, last: bool) -> bytes:
        nonce = self._prefix + self._number.to_bytes(4, "big") + bytes([last])
        self._number += 1
        self._capacity = _PLAIN
        return self._cipher.encrypt(nonce, plain, None)


class Opener:
    """Opens one stream of ``length`` sealed octets, by whole segments in any order."""

    def __init__(self, key: bytes, associated: bytes, header: bytes, length: int) -> None:
        if len(header) != HEADER or header[0] != HEADER:
            raise SealBroken("sealed bytes don't begin with a header")
        self.size = plain_size(length)
        self._length = length
        self._last = (length - 1) // SEGMENT
        self._prefix = header[1 + _SALT :]
        self._cipher = _cipher(key, header[1 : 1 + _SALT], associated)

    def extent(self, first: int, last: int) -> tuple[int, int]:
        """Start and end, in sealed octets, of the segments from ``first`` to ``last`` inclusive."""
        return (first * SEGMENT if first else HEADER), min((last + 1) * SEGMENT, self._length)

    def open(self, first: int, sealed: bytes | bytearray) -> bytes:
        """The plain octets of the whole segments in ``sealed``, the first of which has number ``first``."""
        parts = []
        number, start = first, 0
        with memoryview(sealed) as view:
            while start < len(view):
                end = start + (SEGMENT if number else SEGMENT - HEADER)
                parts.append(self._segment(number, view[start:end]))
                number, start = number + 1, end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _segment(self, number: int, sealed: memoryview) -> bytes:
        nonce = self._prefix + number.to_bytes(4, "big") + bytes([number == self._last])
        try:
            return self._cipher.decrypt(nonce, sealed, None)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("sealed bytes were altered, cut off, or belong elsewhere") from error


def seal(key: bytes, associated: bytes, data: bytes) -> bytes:
    """Seal ``data`` as a whole."""
    sealer = Sealer(key, associated)
    return sealer.update(data) + sealer.finish()


def unseal(key: bytes, associated: bytes, sealed: bytes) -> bytes:
    """Open ``sealed`` as a whole."""
    return Opener(key, associated, sealed[:HEADER], len(sealed)).open(0, sealed[HEADER:])
