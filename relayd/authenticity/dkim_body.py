"""Body hashes for verifying (RFC 6376 §3.4.3, §3.4.4), fed in blocks of any size: a body never stands in memory."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from relayd.authenticity.dkim_sign import BodyHash

_TABS: Final = bytes.maketrans(b"\t", b" ")
_AT_THE_END: Final = b" \t\r"


class Hashing(Protocol):
    """A body hash on its way."""

    def feed(self, block: bytes) -> None: ...

    def digest(self) -> bytes: ...


class RelaxedBodyHash:
    """SHA-256 of a body in relaxed canonicalisation: simple's rule for the end, behind white space folded per line."""

    __slots__ = ("_empty", "_inner", "_rest")

    def __init__(self) -> None:
        self._inner = BodyHash()
        self._rest = b""  # white space, or a CR, whose meaning the next block decides
        self._empty = True

    def feed(self, block: bytes) -> None:
        data = self._rest + block
        kept = data.rstrip(_AT_THE_END)
        # A run of white space stands for one space, however long it grows.
        self._rest = _folded(data[len(kept) :])
        self._feed(kept)

    def digest(self) -> bytes:
        if rest := self._rest.rstrip(b" \t"):
            self._feed(rest)
            self._rest = b""
        return hashlib.sha256().digest() if self._empty else self._inner.digest()

    def _feed(self, data: bytes) -> None:
        folded = _folded(data).replace(b" \r\n", b"\r\n")
        self._empty = self._empty and not folded.strip(b"\r\n")
        self._inner.feed(folded)


def _folded(data: bytes) -> bytes:
    """Every run of white space as one space. Each pass halves the longest run; a pattern would take ten times as
    long, and hold the interpreter for that time."""
    data = data.translate(_TABS)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def body_hash(canonicalisation: str) -> Hashing:
    """A fresh hash for the body's part of c= ("simple" or "relaxed")."""
    return RelaxedBodyHash() if canonicalisation == "relaxed" else BodyHash()
