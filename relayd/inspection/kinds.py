"""What a file is by its first octets, as far as that decides how to open it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """An archive format: libarchive's names for the formats and the filter to allow, and no others.

    A ``filter`` other than "none" makes it one compressed file, which may turn out to be a tar.
    """

    name: str
    formats: tuple[str, ...]
    filter: str = "none"


#: libarchive's format for whatever comes out of a filter.
RAW: Final = "raw"
ZIP: Final = Kind("zip", ("zip_seekable",))
TAR: Final = Kind("tar", ("tar",))

_SIGNATURES: Final = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"7z\xbc\xaf\x27\x1c", Kind("7z", ("7zip",))),
    (b"Rar!\x1a\x07", Kind("rar", ("rar", "rar5"))),
    (b"MSCF", Kind("cab", ("cab",))),
    (b"\x1f\x8b", Kind("gzip", (RAW,), "gzip")),
    (b"\x1f\x9d", Kind("compress", (RAW,), "compress")),
    (b"BZh", Kind("bzip2", (RAW,), "bzip2")),
    (b"\xfd7zXZ\x00", Kind("xz", (RAW,), "xz")),
)

#: Archives that are recognised, but not opened: their decoders would be one more risk for few messages.
_UNOPENED: Final = (
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"LZIP", "lzip"),
    (b"]\x00\x00", "lzma"),
    (b"\x60\xea", "arj"),
    (b"MSWIM\x00\x00\x00", "wim"),
)

OLE_SIGNATURE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: TNEF, Outlook's own wrapping of attachments (winmail.dat).
TNEF_SIGNATURE: Final = b"\x78\x9f\x3e\x22"

_USTAR_AT: Final = 257
_TAR_NAMES: Final = frozenset({"tar", "tgz", "taz", "tbz", "tbz2", "txz"})


def archive_kind(head: bytes, extensions: frozenset[str]) -> Kind | None:
    """Which archive starts with ``head``; None for no archive that can be opened."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    return TAR if is_tar(head, extensions) else None


def is_tar(head: bytes, extensions: frozenset[str]) -> bool:
    """True for a tar with its signature (POSIX ustar, GNU), or an older one that is called so."""
    return head[_USTAR_AT : _USTAR_AT + 5] == b"ustar" or (bool(head) and not _TAR_NAMES.isdisjoint(extensions))


def unopened_kind(head: bytes) -> str:
    """The name of an archive format that isn't opened here, "" otherwise."""
    if head[2:5] == b"-lh" and head[6:7] == b"-":
        return "lha"
    if head[7:14] == b"**ACE**":
        return "ace"
    return next((name for signature, name in _UNOPENED if head.startswith(signature)), "")
