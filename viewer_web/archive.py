"""All attachments as one .zip, written while it is sent: nothing is held but the block at hand."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import IO, cast

from relayd.mail.meta import Part
from viewer_web.access import Opened
from viewer_web.content import decoded

#: What may become larger than the old format allows is told beforehand.
_LARGE = 2**31


class _Outbox:
    """Where the archive is written to: it can't be sought in, and is emptied all the time."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes, /) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        return

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


async def zipped(opened: Opened, files: Iterable[tuple[Part, str]], at: datetime) -> AsyncIterator[bytes]:
    """``files`` are parts with the names that they get, no two alike. A broken seal ends it in the middle."""
    outbox = _Outbox()
    with zipfile.ZipFile(cast(IO[bytes], outbox), "w") as archive:
        for part, name in files:
            entry = zipfile.ZipInfo(name, at.timetuple()[:6])
            # Only the directory at the end says how long a stored entry is; deflated ones end by themselves, for
            # programs that unpack while they read.
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=part.length > _LARGE) as file:
                async for block in decoded(opened, part):
                    file.write(block)
                    yield outbox.take()
            yield outbox.take()
    yield outbox.take()


def distinct(names: Iterable[str]) -> list[str]:
    """The names, numbered where several would be one file on some system: "brief (2).pdf"."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    result = []
    for name in names:
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        candidate = name
        while _as_a_file(candidate) in taken:
            number = numbers[_as_a_file(name)] = numbers.get(_as_a_file(name), 1) + 1
            candidate = f"{stem} ({number}){dot}{extension}"
        taken.add(_as_a_file(candidate))
        result.append(candidate)
    return result


def _as_a_file(name: str) -> str:
    """What names have in common that are one file somewhere: systems that ignore case, and how a letter is composed."""
    return unicodedata.normalize("NFKC", name).casefold()
