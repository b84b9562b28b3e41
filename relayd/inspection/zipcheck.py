"""A zip names its files twice: in the directory at its end and before each file. Where the two tell different stories,
different programs unpack different files, and what was looked at isn't what the recipient gets."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from typing import Final

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_UTF8_FLAG: Final = 0x800
_UNICODE_PATH: Final = 0x7075
#: Its version and the checksum of the name that it replaces.
_UNICODE_PATH_HEAD: Final = 5


class View(io.RawIOBase):
    """A read-only file over memory, without copying it."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        if base + offset < 0:
            raise OSError("a place before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._content[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def has_entries(content: memoryview) -> bool:
    """True when programs that read a zip from its end find one, whatever stands in front (SFX, polyglots)."""
    try:
        with zipfile.ZipFile(View(content)) as archive:
            return bool(archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, EOFError, NotImplementedError):
        return False


def other_names(content: memoryview) -> list[str]:
    """What the directory's extra fields call the files (0x7075, Info-ZIP's Unicode path): other programs take these."""
    with zipfile.ZipFile(View(content)) as archive:
        return [name for entry in archive.infolist() for name in _unicode_paths(entry.extra)]


def _unicode_paths(extra: bytes) -> list[str]:
    names = []
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == _UNICODE_PATH and length > _UNICODE_PATH_HEAD:
            names.append(extra[4 + _UNICODE_PATH_HEAD : 4 + length].decode("utf-8", "replace"))
        extra = extra[4 + length :]
    return names


def contradiction(content: memoryview, most: int) -> str:
    """Why this zip can't be trusted to hold what its directory says, "" when the two agree."""
    try:
        with zipfile.ZipFile(View(content)) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, EOFError, NotImplementedError):
        return "its directory can't be read"
    if len(entries) > most:
        return "it has too many entries"
    end = 0
    for entry in entries:
        if entry.header_offset < end:
            return "its entries overlap"
        if _hidden(content, end, entry.header_offset):
            return "it holds files that its directory doesn't name"
        length = _agreed_length(content, entry)
        if length is None:
            return "its directory contradicts its entries"
        end = entry.header_offset + length
    return "it holds files that its directory doesn't name" if _hidden(content, end, len(content)) else ""


def _hidden(content: memoryview, start: int, end: int) -> bool:
    """A local header where the directory knows of none."""
    return re.search(re.escape(_LOCAL_SIGNATURE), content[start:end]) is not None


def _agreed_length(content: memoryview, entry: zipfile.ZipInfo) -> int | None:
    """Octets from the entry's local header to the end of its data; None where that header says something else."""
    start = entry.header_offset
    try:
        fields = _LOCAL.unpack(content[start : start + _LOCAL.size])
    except struct.error:
        return None
    signature, _, _, method, _, _, _, _, _, name_length, extra_length = fields
    name_at = start + _LOCAL.size
    name = bytes(content[name_at : name_at + name_length])
    directory_name = entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8_FLAG else "cp437", "replace")
    if signature != _LOCAL_SIGNATURE or name != directory_name or method != entry.compress_type:
        return None
    length: int = _LOCAL.size + name_length + extra_length + entry.compress_size
    return length if start + length <= len(content) else None
