"""What an inspection is told and what it tells. Apart from the policies' contract, for the sake of the inspecting
process: it needs these and nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InspectionLimits:
    """How far an inspection goes. ``ratio`` is unpacked over packed octets; ``decoder_memory`` is in octets."""

    depth: int = 5
    members: int = 5_000
    unpacked: int = 500 * 1024 * 1024
    ratio: int = 200
    seconds: float = 60.0
    decoder_memory: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One file seen: an attachment, or a member of an archive.

    ``part`` is the MIME part's path; ``chain`` the names from the attachment down to this file, one element for the
    attachment itself. ``names`` are all names it goes by, ``type`` what libmagic says of its content, ``encrypted``
    that it could not be read for want of a password, ``macros`` that it is a document with macros, ``uninspectable``
    why it could not be looked into ("" when it could).
    """

    part: str
    chain: tuple[str, ...]
    names: tuple[str, ...]
    type: str
    size: int
    encrypted: bool = False
    macros: bool = False
    archive: bool = False
    uninspectable: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """All files of a message. ``complete`` is False when a limit ended it early; ``reason`` then says which."""

    files: tuple[Found, ...]
    complete: bool = True
    reason: str = ""
