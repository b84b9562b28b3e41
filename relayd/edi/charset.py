"""The characters of an EDI message: which set they are really in, and how we write them.

What a message says of its own character set is often wrong: UNB says UNOA (capitals only) over text with é and µ,
and a mail calls UTF-8 "iso-8859-1". So the octets decide. In this order: a byte order mark; UTF-8, where most octets
above 0x7F make it; the declared set, if it is one that isn't declared by habit; a DOS code page, where they stand as
its letters; windows-1252.
Nothing raises, and no octet is dropped: one that is no character of the set found is read as windows-1252 has it, or
as ISO 8859-1 where that has none.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from relayd.edi.model import Finding, Severity
from relayd.edi.names import Says

#: For :meth:`bytes.decode`: octets that don't fit are read one by one.
LENIENT = "relayd-edi"
BOM = codecs.BOM_UTF8
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}

_UTF8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")
_LOW = bytes(range(0x80))
_C1 = bytes(range(0x80, 0xA0))
# é, ë, ü, ï, ö, à of code page 850 behind a small letter: in windows-1252 those octets are quotes, daggers and ‰, which
# don't stand there. 0x92, 0x96, 0x97 and 0xA0 do (apostrophe, dashes, hard space) and prove nothing.
_DOS = re.compile(rb"(?<=[a-z])(?:[\x81-\x84\x87-\x8d]|[\x85\x93-\x95\xa1-\xa4](?=[a-z]))")
_LATIN = re.compile(rb"(?<=[a-z])[\xc0-\xff]|[\xc0-\xff](?=[a-z])")

#: What ISO 8859-1 lacks and Dutch senders write, in words that everyone reads the same.
_TRANSLITERATIONS = str.maketrans(
    {
        "€": "EUR",
        "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
        "‘": "'", "’": "'", "‚": "'", "′": "'", "″": '"',
        "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-",
        "…": "...", "•": "*", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "",
        "≤": "<=", "≥": ">=", "≠": "<>", "≈": "ca.", "→": "->", "←": "<-", "↑": "^", "↓": "v",
        "μ": "µ", "Ω": "Ohm", "™": "(TM)", "‰": "0/00", "œ": "oe", "Œ": "OE", "ĳ": "ij", "Ĳ": "IJ",
    }
)  # fmt: skip


def _one_by_one(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(_CP1252[octet] for octet in error.object[error.start : error.end]), error.end


_CP1252 = [
    bytes([octet]).decode("cp1252", "ignore") or chr(octet)  # 0x81, 0x8D, 0x8F, 0x90 and 0x9D are undefined
    for octet in range(256)
]
codecs.register_error(LENIENT, _one_by_one)


def decode(data: bytes, declared: str = "") -> tuple[str, str, tuple[Finding, ...]]:
    """``data`` as text (without its byte order mark), the character set as Python names it, and what was odd.

    ``declared`` is what the mail or the message says, in any spelling, or "".
    """
    charset, findings = find(data, declared)
    return text(data.removeprefix(BOM), charset), charset, findings


def text(octets: bytes, charset: str) -> str:
    """A piece of a message whose set :func:`find` has found."""
    return octets.decode(charset, LENIENT)


def find(data: bytes, declared: str = "") -> tuple[str, tuple[Finding, ...]]:
    """The character set of ``data`` as Python names it, always one that has ASCII in its lower half."""
    if data.isascii():
        return "ascii", ()
    if _is_utf8(data):
        return "utf-8", ()
    high = data.translate(None, _LOW)
    characters = _UTF8.findall(data)
    if data.startswith(BOM) or len(characters) > len(high) - sum(map(len, characters)):
        return "utf-8", (_finding(Severity.WARNING, Says.BROKEN_UTF8, "utf-8"),)
    if name := _single_octet(declared):
        return name, ()
    if len(high.translate(None, _C1)) == len(high):
        return "iso-8859-1", ()
    if len(_DOS.findall(data)) > len(_LATIN.findall(data)):
        return "cp850", (_finding(Severity.WARNING, Says.DOS, "cp850"),)
    return "cp1252", ()


def out_of_utf_16(data: bytes) -> tuple[bytes, tuple[Finding, ...]]:
    """``data`` in UTF-8 where its mark says that it is in UTF-16, whose separators aren't single octets; else as it is.

    The places in such a file are those of its text in UTF-8.
    """
    if (name := _UTF_16.get(data[:2])) is None:
        return data, ()
    return data[2:].decode(name, "replace").encode("utf-8", "replace"), (Finding(Severity.WARNING, Says.UTF_16),)


def encode(value: str) -> tuple[bytes, tuple[str, ...]]:
    """``value`` in ISO 8859-1, which every receiver can read, and the characters that had to be written otherwise."""
    composed = unicodedata.normalize("NFC", value)
    try:
        return composed.encode("iso-8859-1"), ()
    except UnicodeEncodeError:
        pass
    changed = dict.fromkeys(character for character in composed if ord(character) > 0xFF)
    return "".join(_plain(character) for character in composed).encode("iso-8859-1"), tuple(changed)


def _plain(character: str) -> str:
    if ord(character) <= 0xFF:
        return character
    written = character.translate(_TRANSLITERATIONS)
    if written == character:
        written = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return written.encode("iso-8859-1", "replace").decode("iso-8859-1")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _single_octet(declared: str) -> str:
    """Python's name of a declared set of one octet a character with ASCII in its lower half, or "".

    Not of ISO 8859-1 and its like: they fit any octets and are what everyone declares, so that the claim says nothing.
    """
    try:
        name = codecs.lookup(declared.strip()).name
        if not name.startswith(("iso8859", "cp", "mac-")) or name in ("iso8859-1", "cp1252"):
            return ""
        lower, upper = bytes(range(128)), bytes(range(128, 256))
        fits = lower.decode(name) == lower.decode("ascii") and len(upper.decode(name, "replace")) == len(upper)
        return name if fits else ""
    except (LookupError, UnicodeError, ValueError):
        return ""


def _finding(severity: Severity, words: str, charset: str) -> Finding:
    return Finding(severity, words, values={"set": charset})
