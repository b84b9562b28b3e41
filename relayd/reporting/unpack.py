"""A report out of its gzip or zip, within limits: what a stranger sends may unpack to anything."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

from relayd.errors import SyntaxInvalid

#: Octets of a report, packed and unpacked. The largest reports seen in the world are a tenth of it.
MOST_PACKED: Final = 4 * 2**20
MOST: Final = 8 * 2**20
#: Entries of a zip that are looked at for the report.
_ENTRIES: Final = 10
_MEMBERS: Final = 16
_GZIP: Final = 31  # zlib's window bits, with gzip's header
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1


def unpack(data: bytes) -> bytes:
    """The report itself, whatever its name and type say. Raises SyntaxInvalid."""
    if len(data) > MOST_PACKED:
        raise SyntaxInvalid(f"larger than {MOST_PACKED // 2**20} MiB")
    if data.startswith(b"\x1f\x8b"):
        return _gunzip(data)
    if data.startswith(b"PK\x03\x04"):
        return _unzip(data)
    return data


def _gunzip(data: bytes) -> bytes:
    """All members, one after the other (RFC 1952 §2.2); zeros that fill up the end are no member."""
    found = b""
    try:
        for _ in range(_MEMBERS):
            stream = zlib.decompressobj(_GZIP)
            found += stream.decompress(data, MOST + 1 - len(found))
            if len(found) > MOST:
                raise SyntaxInvalid(f"unpacks to more than {MOST // 2**20} MiB")
            if not stream.eof:
                raise SyntaxInvalid("its gzip is cut off")
            data = stream.unused_data.lstrip(b"\0")
            if not data:
                return found
    except zlib.error:
        raise SyntaxInvalid("its gzip is damaged") from None
    raise SyntaxInvalid("its gzip has too many members")


def _unzip(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist()[:_ENTRIES] if not entry.is_dir()]
            wanted = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".json"))] or entries
            if not wanted:
                raise SyntaxInvalid("its zip is empty")
            entry = wanted[0]
            if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
                raise SyntaxInvalid("its zip is encrypted, or packed in an unusual way")
            with archive.open(entry) as stream:
                found = stream.read(MOST + 1)
    except SyntaxInvalid:
        raise
    except Exception:
        # zipfile lets through whatever it stumbles over: beside its own errors those of zlib, struct, and of an index.
        raise SyntaxInvalid("its zip is damaged") from None
    if len(found) > MOST:
        raise SyntaxInvalid(f"unpacks to more than {MOST // 2**20} MiB")
    return found
