"""Signs within documents: macros and passwords, found without parsing what a parser might choke on."""

from __future__ import annotations

import re
from typing import Final

#: Stream and storage names in an OLE2 directory are UTF-16 ([MS-CFB] §2.6.1).
_MACROS: Final = "_VBA_PROJECT".encode("utf-16-le")
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
#: Class identifiers of the root of Windows Installer's databases, patches and transforms.
_INSTALLER: Final = tuple(bytes((low, 0x10, 0x0C)) + b"\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" for low in (0x82, 0x84, 0x86))

_SIGNS: Final = re.compile(b"|".join(re.escape(sign) for sign in (_MACROS, _ENCRYPTED, *_INSTALLER)))
_OVERLAP: Final = 64

#: OpenDocument keeps these two in every document with an empty library.
_EMPTY_LIBRARY: Final = frozenset({"script-lc.xml", "script-lb.xml"})


class OleSigns:
    """Looks through an OLE2 file (old Office formats, encrypted new ones, installers) as it passes by."""

    def __init__(self) -> None:
        self.macros = False
        self.encrypted = False
        self.installer = False
        self._tail = b""

    def feed(self, block: bytes | memoryview) -> None:
        self._search(self._tail + bytes(block[:_OVERLAP]))
        self._search(block)
        self._tail = (self._tail + bytes(block[-_OVERLAP:]))[-_OVERLAP:]

    def _search(self, octets: bytes | memoryview) -> None:
        for match in _SIGNS.finditer(octets):
            self.macros |= match[0] == _MACROS
            self.encrypted |= match[0] == _ENCRYPTED
            self.installer |= match[0] in _INSTALLER


def holds_macros(member: str) -> bool:
    """True for a member's path that makes the zipped document around it (OOXML, OpenDocument) one with macros."""
    path = member.replace("\\", "/").lower().lstrip("/")
    name = path.rpartition("/")[2]
    if name.startswith("vbaproject") and name.endswith(".bin"):
        return True
    if path.startswith(("xl/macrosheets/", "scripts/")):
        return True
    return path.startswith("basic/") and name not in _EMPTY_LIBRARY
