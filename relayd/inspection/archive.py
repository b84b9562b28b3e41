"""Archives by libarchive, for the inspecting child only: one format at a time, nothing written anywhere."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from libarchive import ffi
from libarchive.exception import ArchiveError
from libarchive.read import new_archive_read

from relayd.inspection.kinds import Kind

_BLOCK = 256 * 1024
_TYPE_MASK = 0o170000
_REGULAR = 0o100000
_DIRECTORY = 0o040000

_is_encrypted = ffi.ffi("entry_is_encrypted", [ffi.c_archive_entry_p], ctypes.c_int)


class Damaged(Exception):
    """The archive, or this member of it, can't be read to its end."""


class Locked(Exception):
    """It can't be read without its password."""


@dataclass(slots=True)
class Member:
    """One entry. ``regular`` is False for links, devices and the like, which have no content to look at."""

    names: tuple[str, ...]
    regular: bool
    encrypted: bool
    _archive: ctypes.c_void_p

    def blocks(self) -> Iterator[bytes]:
        """The content, once, before the next member is asked for. Raises Damaged or Locked."""
        buffer = ctypes.create_string_buffer(_BLOCK)
        while True:
            try:
                count = ffi.read_data(self._archive, buffer, _BLOCK)
            except ArchiveError as error:
                raise _explain(error) from None
            if count < 0:
                raise Damaged("a part of it can't be read")
            if count == 0:
                return
            yield buffer.raw[:count]


def members(content: memoryview, kind: Kind) -> Iterator[Member]:
    """Every entry but folders, in order. ``content`` must be writable memory, which stays unchanged."""
    memory = (ctypes.c_char * len(content)).from_buffer(content)
    with new_archive_read(kind.formats[0], kind.filter) as archive:
        for another in (*kind.formats[1:], "empty"):
            ffi.get_read_format_function(another)(archive)
        entry = ffi.entry_new()
        try:
            try:
                ffi.read_open_memory(archive, ctypes.c_void_p(ctypes.addressof(memory)), len(content))
                while ffi.read_next_header2(archive, entry) != ffi.ARCHIVE_EOF:
                    file_type = ffi.entry_filetype(entry) & _TYPE_MASK
                    if file_type != _DIRECTORY:
                        link = file_type not in (_REGULAR, 0) or bool(ffi.entry_hardlink(entry))
                        yield Member(_names(entry), not link, _is_encrypted(entry) == 1, archive)
            except ArchiveError as error:
                raise _explain(error) from None
        finally:
            ffi.entry_free(entry)


def peek(content: memoryview, kind: Kind) -> bytes:
    """The first octets of a compressed file, unpacked; b"" where there are none to be had."""
    try:
        return next((block for member in members(content, kind) for block in member.blocks()), b"")
    except (Damaged, Locked):
        return b""


def _names(entry: ctypes.c_void_p) -> tuple[str, ...]:
    """The path in both of libarchive's readings: bytes, and wide characters."""
    names: list[str] = []
    if raw := ffi.entry_pathname(entry):
        names.append(raw.decode("utf-8", "replace"))
    with suppress(ValueError):  # a wide character outside Unicode
        if (wide := ffi.entry_pathname_w(entry)) and wide not in names:
            names.append(wide.encode("utf-8", "replace").decode())
    return tuple(names)


def _explain(error: ArchiveError) -> Damaged | Locked:
    # libarchive has no code of its own for a wanted password; the words are the same in all its readers.
    text = str(error.msg).lower()
    if "passphrase" in text or "encrypt" in text:
        return Locked("it can't be read without its password")
    return Damaged("it is damaged, or packed in a way that can't be read")
