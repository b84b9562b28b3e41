"""A part's content out of its transfer encoding (RFC 2045 §6), in blocks, as tolerant as the programs that show it."""

from __future__ import annotations

import binascii
from typing import Final, Protocol

from relayd.mail.meta import Part

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _BASE64)
#: Longest quoted-printable line that is kept together; RFC 2045 §6.7 allows 76.
_MOST_LINE = 64 * 1024


class PartDecoder(Protocol):
    """Takes encoded blocks of any size and gives what they stand for. Never raises for what a sender wrote."""

    def feed(self, block: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """What was still held back."""
        ...


def decoder(part: Part) -> PartDecoder:
    """The decoder for ``part``'s encoding; an unknown one is taken as it is (RFC 2045 §6.4)."""
    match part.encoding:
        case "base64":
            return _Base64()
        case "quoted-printable":
            return _QuotedPrintable()
        case "x-uuencode" | "uuencode" | "x-uue":
            return _Uuencode()
    return _Identity()


class _Identity:
    def feed(self, block: bytes) -> bytes:
        return block

    def finish(self) -> bytes:
        return b""


class _Base64:
    """Foreign octets are skipped (RFC 2045 §6.8); padding ends a run, and another run may follow it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        digits = self._rest + block.translate(None, _NOT_BASE64)
        if b"=" not in digits:
            whole = len(digits) & ~3
            self._rest = digits[whole:]
            return binascii.a2b_base64(digits[:whole])
        *ended, last = digits.split(b"=")
        whole = len(last) & ~3
        self._rest = last[whole:]
        return b"".join(map(_run, ended)) + binascii.a2b_base64(last[:whole])

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return _run(rest)


class Base64Length:
    """How many octets the decoder of base64 would give, at a third of its cost."""

    def __init__(self) -> None:
        self._octets = 0
        self._digits = 0

    def feed(self, block: bytes) -> None:
        *ended, last = block.translate(None, _NOT_BASE64).split(b"=")
        for run in ended:
            self._octets += _octets(self._digits + len(run))
            self._digits = 0
        self._digits += len(last)

    def finish(self) -> int:
        return self._octets + _octets(self._digits)


def _octets(digits: int) -> int:
    return digits // 4 * 3 + (0, 0, 1, 2)[digits % 4]


def _run(digits: bytes) -> bytes:
    """A run with its padding restored; a single digit left over stands for nothing."""
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


class _QuotedPrintable:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        data = self._rest + block
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _MOST_LINE:
            cut = len(data)
            equals = data.rfind(b"=", cut - 2)
            cut = equals if equals > 0 else cut
        self._rest = data[cut:]
        return binascii.a2b_qp(data[:cut])

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return binascii.a2b_qp(rest)


class _Uuencode:
    """Lines between ``begin`` and ``end``. No line stands for more octets than it has: what its first character
    promises beyond that would be zeros, and two octets would make forty-five."""

    def __init__(self) -> None:
        self._rest = b""
        self._inside = False

    def feed(self, block: bytes) -> bytes:
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            self._rest = self._rest[:_MOST_LINE]
        return b"".join(map(self._line, lines))

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return self._line(rest)

    def _line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if not self._inside:
            self._inside = line.startswith(b"begin ")
            return b""
        if not line or line == b"end":
            self._inside = line != b"end"
            return b""
        try:
            return binascii.a2b_uu(line)[: len(line)]
        except binascii.Error:
            octets = (((line[0] - 32) & 63) * 4 + 5) // 3  # some encoders write a few characters too many
        try:
            return binascii.a2b_uu(line[:octets])[: len(line)]
        except binascii.Error:
            return b""
