"""A form with files, read while it arrives (RFC 7578): fields in memory, files handed on block by block.

Nothing is spooled: Starlette's own form reader writes larger files to disk in the clear.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from viewer_web.problems import stale_form

#: Octets of the fields that aren't files, together.
_FIELDS: Final = 512 * 1024
_PARTS: Final = 100


@dataclass(frozen=True, slots=True)
class FieldRead:
    """A whole field."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FileBegins:
    """A file with a name; its blocks follow."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class FileBlock:
    """Octets of the file that began last."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnds:
    """The file that began last is whole."""


Event = FieldRead | FileBegins | FileBlock | FileEnds


async def read_multipart(request: Request, limit: int) -> AsyncIterator[Event]:
    """What the form holds, in its order. Raises Problem for a form that is none or ends early, and TooLarge for one
    that exceeds ``limit`` octets: at its first file already where the browser says how long it is. No file counts
    then."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise stale_form()
    announced = request.headers.get("content-length", "")
    excessive = announced.isdecimal() and int(announced) > limit
    reader = _Reader()
    parser = MultipartParser(boundary, reader.callbacks)  # type: ignore[arg-type]
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > limit:
            raise TooLarge
        try:
            parser.write(block)
        except FormParserError as error:
            raise stale_form() from error
        for event in reader.events():
            if excessive and isinstance(event, FileBegins):
                raise TooLarge
            yield event
    if not reader.complete:
        raise stale_form()


class TooLarge(Exception):
    """More than a form may hold."""


class _Reader:
    """Collects what the parser calls out."""

    def __init__(self) -> None:
        self.complete = False
        self._ready: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._field = ""
        self._held: bytearray | None = None
        self._in_file = False
        self._kept = self._parts = 0
        self.callbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
            "on_end": self._end,
        }

    def events(self) -> list[Event]:
        ready, self._ready = self._ready, []
        return ready

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise TooLarge
        self._headers, self._name, self._value = {}, b"", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        self._in_file = bool(file_name)
        # A field for files without a file in it has an empty name: nothing.
        self._held = None if file_name is not None else bytearray()
        if file_name:
            kind = self._headers.get(b"content-type", b"").decode("ascii", "replace")
            self._ready.append(FileBegins(file_name.decode("utf-8", "replace"), kind))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._ready.append(FileBlock(data[start:end]))
        elif self._held is not None:
            self._kept += end - start
            if self._kept > _FIELDS:
                raise TooLarge
            self._held += data[start:end]

    def _part_ends(self) -> None:
        if self._in_file:
            self._ready.append(FileEnds())
        elif self._held is not None:
            self._ready.append(FieldRead(self._field, self._held.decode("utf-8", "replace")))
        self._in_file, self._held = False, None

    def _end(self) -> None:
        self.complete = True
