"""The walk through attachments and whatever they hold. Runs in the inspecting child, under its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from relayd.inspection import archive, zipcheck
from relayd.inspection.candidates import attachments
from relayd.inspection.documents import OleSigns, holds_macros
from relayd.inspection.kinds import (
    OLE_SIGNATURE,
    RAW,
    TAR,
    TNEF_SIGNATURE,
    ZIP,
    Kind,
    archive_kind,
    is_tar,
    unopened_kind,
)
from relayd.inspection.names import ARCHIVES, COMPRESSED, UNREADABLE, extensions
from relayd.inspection.wire import Slice
from relayd.mail.meta import OUT_OF_SIGHT
from relayd.mail.mime import MimeScanner, decoder
from relayd.mail.mime_header import LONGEST_NAME
from relayd.pipeline.findings import Found, Inspection, InspectionLimits

#: Characters of the names of all members.
_MOST_NAMES: Final = 2**20
#: Octets that tell a file's type.
_HEAD: Final = 64 * 1024
#: A member that is no archive is looked at as a stream beyond this size.
_HELD_WHOLE: Final = 4 * 2**20
#: Below this, a high ratio is a small file of zeros, not a bomb.
_RATIO_COUNTS_FROM: Final = 16 * 2**20


class LimitReached(Exception):
    """The message asks for more work than the limits allow: the walk ends here."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file was found."""

    part: str
    chain: tuple[str, ...]
    names: tuple[str, ...]
    depth: int

    @property
    def extensions(self) -> frozenset[str]:
        return frozenset[str]().union(*(extensions(name) for name in self.names))

    def inside(self, names: tuple[str, ...]) -> _Place:
        return _Place(self.part, (*self.chain, names[0] if names else ""), names, self.depth + 1)


class Walk:
    """One message's inspection. ``detect`` says a MIME type of octets (libmagic)."""

    def __init__(self, limits: InspectionLimits, detect: Callable[[bytes], str]) -> None:
        self._limits = limits
        self._detect = detect
        self._files: list[Found] = []
        self._members = 0
        self._names = 0
        self._unpacked = 0
        self._held = 0

    def run(self, memory: memoryview, parts: Iterable[Slice]) -> Inspection:
        try:
            for part in parts:
                place = _Place(part.path, (part.names[0] if part.names else "",), part.names, 0)
                self._look(memory[part.offset : part.offset + part.length], place, part.type)
        except LimitReached as reached:
            return Inspection(tuple(self._files), complete=False, reason=str(reached))
        except MemoryError:
            return Inspection(tuple(self._files), complete=False, reason="it takes too much memory to unpack")
        return Inspection(tuple(self._files))

    def _look(self, content: memoryview, place: _Place, declared: str = "") -> None:
        """Record a file whose content is in memory, and walk into it when it holds others."""
        head = bytes(content[:_HEAD])
        kind = archive_kind(head, place.extensions)
        if kind is None and zipcheck.has_entries(content):
            kind = ZIP
        index = self._record(head, place, len(content), declared, kind)
        if head.startswith(OLE_SIGNATURE):
            signs = OleSigns()
            signs.feed(content)
            self._apply(index, signs)
        try:
            if kind is not None:
                self._open(content, kind, place, index)
            elif self._is_message(index, place, declared):
                self._enter(place)
                self._look_into_message(content, place, index)
        except archive.Locked:
            self._mark(index, encrypted=True)
        except archive.Damaged as damage:
            self._mark(index, uninspectable=str(damage))

    def _record(self, head: bytes, place: _Place, size: int, declared: str, kind: Kind | None) -> int:
        """Put the file on the list; the index is for what is learned about it later."""
        self._files.append(
            Found(
                part=place.part,
                chain=place.chain,
                names=place.names,
                type=self._detect(head) if head else "",
                size=size,
                archive=kind is not None,
                uninspectable=_closed(head, place.extensions, declared) if kind is None and size else "",
            )
        )
        return len(self._files) - 1

    def _mark(self, index: int, **facts: bool | str) -> None:
        self._files[index] = replace(self._files[index], **facts)  # type: ignore[arg-type]  # field names and types

    def _apply(self, index: int, signs: OleSigns) -> None:
        self._mark(index, macros=signs.macros, encrypted=signs.encrypted)
        if signs.installer:
            self._mark(index, type="application/x-msi")

    def _is_message(self, index: int, place: _Place, declared: str) -> bool:
        types = (self._files[index].type, declared)
        return "message/rfc822" in types or "message/global" in types or "eml" in place.extensions

    def _enter(self, place: _Place) -> None:
        if place.depth >= self._limits.depth:
            raise archive.Damaged(f"it is nested deeper than {self._limits.depth} levels")

    def _open(self, content: memoryview, kind: Kind, place: _Place, index: int) -> None:
        self._enter(place)
        if kind is ZIP:
            if reason := zipcheck.contradiction(content, self._limits.members):
                self._mark(index, uninspectable=reason)
            elif not zipcheck.has_entries(content):
                return
            else:
                self._add_other_names(zipcheck.other_names(content), place)
        if kind.formats == (RAW,) and is_tar(archive.peek(content, kind), place.extensions):
            kind = replace(kind, formats=TAR.formats)
        before = self._unpacked
        for member in archive.members(content, kind):
            self._count_member()
            names = self._counted_names(
                _unpacked_names(place.names, content) if kind.formats == (RAW,) else member.names
            )
            if any(holds_macros(name) for name in names):
                self._mark(index, macros=True)
            inner = place.inside(names)
            if member.encrypted or not member.regular:
                type_ = "" if member.regular else "inode/special"
                self._files.append(Found(inner.part, inner.chain, names, type_, 0, encrypted=member.encrypted))
                continue
            self._look_at_member(self._counted(member.blocks(), len(content), before), inner)

    def _add_other_names(self, names: list[str], place: _Place) -> None:
        for name in names:
            inner = place.inside(self._counted_names((name,)))
            self._files.append(Found(inner.part, inner.chain, inner.names, "", 0))

    def _look_at_member(self, blocks: Iterator[bytes], place: _Place) -> None:
        """Hold a member in memory while that is needed to look into it; let anything else pass by."""
        held = bytearray()
        before = self._held
        try:
            for block in blocks:
                held += block
                self._held = before + len(held)
                if len(held) > _HELD_WHOLE and not self._must_hold(held, place):
                    self._look_at_stream(held, blocks, place)
                    return
                if self._held > self._limits.decoder_memory:
                    raise LimitReached("what it holds takes too much memory to look into")
        except (archive.Damaged, archive.Locked) as error:
            index = self._record(bytes(held[:_HEAD]), place, len(held), "", None)
            locked = isinstance(error, archive.Locked)
            self._mark(index, encrypted=locked, uninspectable="" if locked else str(error))
            return
        finally:
            self._held = before
        self._held = before + len(held)
        try:
            self._look(memoryview(held), place)
        finally:
            self._held = before

    def _look_at_stream(self, start: bytearray, rest: Iterator[bytes], place: _Place) -> None:
        head = bytes(start[:_HEAD])
        signs = OleSigns()
        size = len(start)
        ole = head.startswith(OLE_SIGNATURE)
        if ole:
            signs.feed(bytes(start))
        for block in rest:
            size += len(block)
            if ole:
                signs.feed(block)
        self._apply(self._record(head, place, size, "", None), signs)

    def _must_hold(self, held: bytearray, place: _Place) -> bool:
        head = bytes(held[:_HEAD])
        return archive_kind(head, place.extensions) is not None or bool({"eml", "zip"} & place.extensions)

    def _look_into_message(self, content: memoryview, place: _Place, index: int) -> None:
        scanner = MimeScanner()
        for start in range(0, len(content), _HEAD):
            scanner.feed(bytes(content[start : start + _HEAD]))
        parts = scanner.finish()
        if any(not OUT_OF_SIGHT.isdisjoint(part.defects) for part in parts):
            self._mark(index, uninspectable="its structure can't be read in full")
        for part in attachments(parts):
            self._count_member()
            decode = decoder(part)
            raw = content[part.offset : part.offset + part.length]
            blocks = (decode.feed(bytes(raw[at : at + _HEAD])) for at in range(0, len(raw), _HEAD))
            decoded = bytearray(b"".join(blocks) + decode.finish())
            self._look(memoryview(decoded), place.inside(part.names), part.type)

    def _counted_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Names are judged in the worker, so there can't be any amount of them."""
        self._names += sum(map(len, names))
        if self._names > _MOST_NAMES or any(len(name) > LONGEST_NAME for name in names):
            raise LimitReached("the names of its files are too long")
        return names

    def _count_member(self) -> None:
        self._members += 1
        if self._members > self._limits.members:
            raise LimitReached(f"it holds more than {self._limits.members} files")

    def _counted(self, blocks: Iterator[bytes], packed: int, before: int) -> Iterator[bytes]:
        for block in blocks:
            self._unpacked += len(block)
            if self._unpacked > self._limits.unpacked:
                raise LimitReached("it unpacks to more than the limit")
            inside = self._unpacked - before
            if inside > _RATIO_COUNTS_FROM and inside > packed * self._limits.ratio:
                raise LimitReached("it unpacks to far more than its own size")
            yield block


def _closed(head: bytes, extensions: frozenset[str], declared: str) -> str:
    """Why a file that is no archive we can open can't be looked into, "" when there is nothing to open."""
    if head.startswith(TNEF_SIGNATURE) or declared in ("application/ms-tnef", "application/vnd.ms-tnef"):
        return "it is TNEF (winmail.dat)"
    if declared == "message/partial":
        return "it is only a part of a message"
    if declared.startswith("multipart/"):
        return "it holds parts that can't be told apart"
    if name := unopened_kind(head):
        return f"{name} archives can't be opened here"
    if extensions & (ARCHIVES | UNREADABLE):
        return "it isn't the archive that its name says, or one that can't be opened here"
    return ""


def _unpacked_names(names: tuple[str, ...], content: memoryview) -> tuple[str, ...]:
    """What the one file within a compressed file is called: by the name outside, and by gzip's header."""
    stripped: list[str] = []
    for name in names:
        stem, _, last = name.rpartition(".")
        stripped.append(stem if last.lower() in COMPRESSED else name)
    return (*stripped, *_gzip_name(bytes(content[:2048])))


def _gzip_name(head: bytes) -> list[str]:
    """RFC 1952 §2.3: FNAME, after an optional FEXTRA."""
    if head[:2] != b"\x1f\x8b" or len(head) < 10 or not head[3] & 0x08:
        return []
    at = 10
    if head[3] & 0x04:
        at += 2 + int.from_bytes(head[10:12], "little")
    return [head[at:].split(b"\0")[0].decode("latin-1")]
