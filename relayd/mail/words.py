"""Text out of octets: charsets and encoded words (RFC 2047). Never raises for what a sender wrote."""

from __future__ import annotations

import base64
import binascii
import codecs
import re

#: White space within is against RFC 2047 §2, and decoded by many programs all the same.
_WORD = re.compile(r"=\?([A-Za-z0-9!#$%&'+\-^_`{}~:.()]+)(?:\*[A-Za-z0-9-]*)?\?([bBqQ])\?([^?\r\n]*)\?=")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

#: Codecs of Python that are no charsets of mail, and whose decoders do more than decode.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})


def decode_octets(octets: bytes, charset: str = "") -> str:
    """``octets`` in ``charset``; where that is unknown or wrong UTF-8, and where that is wrong Latin-1."""
    try:
        return str(octets, charset) if is_charset(charset) else _guess(octets)
    except ValueError:  # not in that charset
        return _guess(octets)


def is_charset(name: str) -> bool:
    """Whether we decode text in this charset: not every codec of Python is one ("zip", "rot13")."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return codec._is_text_encoding and codec.name.replace("_", "-") not in _NO_CHARSETS


def _guess(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def has_encoded_word(text: str) -> bool:
    return "=?" in text and _WORD.search(text) is not None


def decode_words(text: str) -> str:
    """``text`` with its encoded words decoded, each control character turned into a space.

    White space between two encoded words is dropped (RFC 2047 §6.2), and neighbours of one charset are joined before
    they are decoded, since many senders split a character between two words.
    """
    if "=?" in text:
        text = "".join(_pieces(text))
    return _CONTROLS.sub(" ", text)


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    pending, charset, end = b"", "", 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        same = match[1].lower() == charset
        if pending and not (same and not between.strip()):
            pieces.append(decode_octets(pending, charset))
            pending = b""
        if between.strip() or not end:
            pieces.append(between)
        pending += _octets(match[2], match[3])
        charset, end = match[1].lower(), match.end()
    if pending:
        pieces.append(decode_octets(pending, charset))
    pieces.append(text[end:])
    return pieces


def _octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return _QUOTED.sub(lambda match: bytes.fromhex(match[1].decode()), octets.replace(b"_", b" "))
    try:
        return base64.b64decode(octets.rstrip(b"=") + b"=" * (-len(octets.rstrip(b"=")) % 4))
    except binascii.Error:
        return octets
