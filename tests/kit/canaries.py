"""Looks for words in files, in whatever form a program may have written them.

The forms: as they are, in other case of hexadecimal, base64 at each alignment, quoted-printable, percent-encoded,
UTF-16, JSON-escaped, and any of these within zlib or gzip streams.
"""

from __future__ import annotations

import base64
import json
import os
import quopri
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.kit.usage import family

_STREAM = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_MOST_UNPACKED = 16 * 2**20


@dataclass(frozen=True, order=True)
class Sighting:
    """A word seen where nobody may find it."""

    where: str
    word: str
    form: str


def forms(word: str) -> dict[str, bytes]:
    """The octets to look for, by the name of their form."""
    octets = word.encode()
    found = {
        "clear": octets,
        "hexadecimal": octets.hex().encode(),
        "HEXADECIMAL": octets.hex().upper().encode(),
        "quoted-printable": quopri.encodestring(octets, quotetabs=True).rstrip(b"=\n"),
        "percent": quote(word, safe="").encode(),
        "JSON": json.dumps(word)[1:-1].encode(),
        "UTF-16LE": word.encode("utf-16-le"),
        "UTF-16BE": word.encode("utf-16-be"),
    }
    for shift in range(3):
        # Whole groups of the word only: what stands at its edges depends on its neighbours.
        first = -shift % 3
        whole = octets[first : first + (len(octets) - first) // 3 * 3]
        found[f"base64, shifted by {shift}"] = base64.b64encode(whole)
    return found


class Canaries:
    """``words`` maps what a word stands for to the word. At least nine octets each, or chance finds them too."""

    def __init__(self, words: Mapping[str, str]) -> None:
        assert all(len(word) >= 9 for word in words.values())
        self._needles = [(name, form, octets) for name, word in words.items() for form, octets in forms(word).items()]
        self._any = re.compile(b"|".join({re.escape(octets) for _, _, octets in self._needles}))

    def seen_in(self, octets: bytes, where: str) -> set[Sighting]:
        """In these octets, and in what unpacks from any place in them."""
        found = self._plain(octets, where)
        for match in _STREAM.finditer(octets):
            unpacked = _unpacked(octets[match.start() :])
            found |= {Sighting(s.where, s.word, f"{s.form}, packed") for s in self._plain(unpacked, where)}
        return found

    def seen_in_files(self, paths: Iterable[Path]) -> set[Sighting]:
        found: set[Sighting] = set()
        for path in paths:
            try:
                found |= self.seen_in(path.read_bytes(), str(path))
            except (FileNotFoundError, NotADirectoryError, PermissionError, OSError):
                continue  # gone meanwhile, a socket, or a device
            found |= self.seen_in(str(path).encode("utf-8", "surrogateescape"), f"the name of {path}")
        return found

    def _plain(self, octets: bytes, where: str) -> set[Sighting]:
        if not octets or self._any.search(octets) is None:
            return set()
        return {Sighting(where, name, form) for name, form, needle in self._needles if needle in octets}


def _unpacked(octets: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(octets, _MOST_UNPACKED)
    except zlib.error:
        return b""


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """All files of these folders, which may go while they are read."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names)


def files_kept_open(pid: int) -> Iterator[Path]:
    """What a process and its descendants hold open and nobody finds by name any more. Memory (memfd) is no file."""
    for each in family(pid):
        folder = Path(f"/proc/{each}/fd")
        try:
            descriptors = list(folder.iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.endswith(" (deleted)") and not target.startswith("/memfd:"):
                yield descriptor
