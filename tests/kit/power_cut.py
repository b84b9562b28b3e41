"""A folder as a power cut could leave it: what was synced is there, of what was not, a random part.

The contract is that of POSIX and no file system's kindness:

* A sync that ended before the cut makes durable what was done to that file before the sync began: its data and length.
* A name is durable when its folder was synced; a file's own sync says nothing of its name, nor of the folders above it.
* Of unsynced data any set of 4 KiB pages may be there, one of them torn between two sectors; the length is any that
  the file had, whatever data is there. Where neither old nor new data is, there are zeros.
* Of unsynced names any set may be there. A rename is never half done in a way that loses the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.kit.recording import Entry, Kind

PAGE = 4096
SECTOR = 512
_TORN = 0.05


@dataclass(frozen=True, slots=True)
class Write:
    """Octets put at an offset."""

    offset: int
    data: bytes

    def pages(self) -> Iterator[Write]:
        """The same, page by page."""
        start, end = self.offset, self.offset + len(self.data)
        while start < end:
            stop = min(end, (start // PAGE + 1) * PAGE)
            yield Write(start, self.data[start - self.offset : stop - self.offset])
            start = stop

    def torn(self, random: Random) -> Write:
        """What is left of a page of which only the first sectors were written."""
        page = self.offset // PAGE * PAGE
        stop = page + SECTOR * random.randrange(PAGE // SECTOR)
        return Write(self.offset, self.data[: max(0, stop - self.offset)])

    def put(self, content: bytearray) -> None:
        """Write into ``content``, made longer with zeros if need be."""
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new length."""

    length: int

    def put(self, content: bytearray) -> None:
        del content[self.length :]
        content.extend(bytes(self.length - len(content)))


@dataclass(eq=False)
class File:
    """``durable`` survives for certain; ``changes`` came later, the first of them numbered ``synced``."""

    durable: bytearray = field(default_factory=bytearray)
    changes: list[Write | Truncate] = field(default_factory=list)
    synced: int = 0

    def sync(self, count: int) -> None:
        """The first ``count`` changes of this file's life are durable."""
        for change in self.changes[: max(0, count - self.synced)]:
            change.put(self.durable)
        del self.changes[: max(0, count - self.synced)]
        self.synced = max(self.synced, count)

    def after_cut(self, random: Random, surviving: float) -> bytes:
        content, lengths = bytearray(self.durable), [len(self.durable)]
        for change in self.changes:
            if isinstance(change, Truncate):
                lengths.append(change.length)
                if random.random() < surviving:
                    change.put(content)
                continue
            lengths.append(max(lengths[-1], change.offset + len(change.data)))
            for page in change.pages():
                if random.random() < surviving:
                    torn = surviving < 1 and random.random() < _TORN
                    (page.torn(random) if torn else page).put(content)
        for length in lengths[1:]:
            if random.random() < surviving:
                lengths[0] = length
        Truncate(lengths[0]).put(content)
        return bytes(content)


@dataclass(eq=False)
class Renaming:
    """Joins the two halves of a rename. ``durable`` when the new name is; ``kept`` while a cut is being played."""

    folder: Folder
    name: str
    node: File | Folder
    durable: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Naming:
    """One name of a folder set to a node, or taken away with None."""

    name: str
    node: File | Folder | None
    renaming: Renaming | None = None


@dataclass(eq=False)
class Folder:
    """Names as a file has data: those that survive for certain, and the changes to them since."""

    durable: dict[str, File | Folder] = field(default_factory=dict)
    changes: list[Naming] = field(default_factory=list)
    synced: int = 0

    def sync(self, count: int) -> None:
        for change in self.changes[: max(0, count - self.synced)]:
            if change.renaming is not None:
                change.renaming.durable = True
                change.renaming.folder.durable[change.renaming.name] = change.renaming.node
            _name(self.durable, change)
        del self.changes[: max(0, count - self.synced)]
        self.synced = max(self.synced, count)

    def after_cut(self, random: Random, surviving: float) -> dict[str, File | Folder]:
        names = dict(self.durable)
        for change in self.changes:
            if change.renaming is None:
                if random.random() < surviving:
                    _name(names, change)
            elif change.node is None and not (change.renaming.folder is self or random.random() < surviving):
                continue
            elif change.renaming.durable or change.renaming.kept:
                _name(names, change)
        return names

    def decide(self, random: Random, surviving: float) -> None:
        """Which renames into this folder survive the cut that is about to be played."""
        for change in self.changes:
            if change.renaming is not None and change.node is not None:
                change.renaming.kept = random.random() < surviving


class Disk:
    """Takes a recording entry by entry; :meth:`cut` at any moment says what a power cut could leave then."""

    def __init__(self, root: Path) -> None:
        """With everything that is below ``root`` now, durably."""
        self._root = str(root.resolve())
        self._nodes: dict[str, File | Folder] = {}
        self._open: dict[int, File | Folder] = {}
        self._syncs: dict[int, tuple[File | Folder, int]] = {}
        self._load(root.resolve())

    def _load(self, path: Path) -> File | Folder:
        node: File | Folder
        if path.is_dir():
            node = Folder({one.name: self._load(one) for one in path.iterdir() if one.is_dir() or one.is_file()})
        else:
            node = File(bytearray(path.read_bytes()))
        self._nodes[str(path)] = node
        self._open[path.stat().st_ino] = node
        return node

    def apply(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        match entry.kind:
            case Kind.OPEN:
                self._opened(entry)
            case Kind.WRITE:
                self._file(entry.inode).changes.append(Write(entry.offset, entry.data))
            case Kind.TRUNCATE:
                self._file(entry.inode).changes.append(Truncate(entry.offset))
            case Kind.RENAME:
                self._rename(entry.path, entry.target)
            case Kind.LINK:
                if (node := self._nodes.get(entry.path)) is not None:
                    self._set(entry.target, node)
            case Kind.UNLINK | Kind.RMDIR:
                if self._nodes.pop(entry.path, None) is not None:
                    self._change(entry.path, None)
            case Kind.MKDIR:
                self._set(entry.path, Folder())
            case Kind.SYNC_BEGUN:
                node = self._open[entry.inode]
                self._syncs[entry.position] = node, node.synced + len(node.changes)
            case Kind.SYNC_DONE:
                node, count = self._syncs.pop(entry.inode)
                node.sync(count)

    def _opened(self, entry: Entry) -> None:
        node = self._nodes.get(entry.path)
        if node is None:
            node = File()
            self._set(entry.path, node)
        self._open[entry.inode] = node
        if entry.offset & os.O_TRUNC and isinstance(node, File):
            node.changes.append(Truncate(0))

    def _file(self, inode: int) -> File:
        node = self._open[inode]
        assert isinstance(node, File)
        return node

    def _folder_of(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._nodes[above]
        assert isinstance(folder, Folder)
        return folder, name

    def _set(self, path: str, node: File | Folder) -> None:
        self._nodes[path] = node
        self._change(path, node)

    def _change(self, path: str, node: File | Folder | None, renaming: Renaming | None = None) -> None:
        folder, name = self._folder_of(path)
        folder.changes.append(Naming(name, node, renaming))

    def _rename(self, path: str, target: str) -> None:
        node = self._nodes.pop(path, None)
        if node is None:
            return  # a call that a kill prevented after it was noted
        assert isinstance(node, File), "a folder that moves with what is in it isn't needed so far"
        self._nodes[target] = node
        folder, name = self._folder_of(target)
        renaming = Renaming(folder, name, node)
        self._change(target, node, renaming)
        self._change(path, None, renaming)

    def cut(self, random: Random, surviving: float) -> dict[str, bytes | None]:
        """What is left: the octets of files, None for folders, by paths relative to the root. ``surviving``: how likely
        each part of what was not synced is there."""
        for node in [*self._nodes.values()]:
            if isinstance(node, Folder):
                node.decide(random, surviving)
        root = self._nodes[self._root]
        assert isinstance(root, Folder)
        return dict(_tree(root, "", random, surviving))


def _name(names: dict[str, File | Folder], change: Naming) -> None:
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def _tree(folder: Folder, above: str, random: Random, surviving: float) -> Iterator[tuple[str, bytes | None]]:
    for name, node in folder.after_cut(random, surviving).items():
        path = f"{above}{name}"
        if isinstance(node, Folder):
            yield path, None
            yield from _tree(node, f"{path}/", random, surviving)
        else:
            yield path, node.after_cut(random, surviving)


def lay_out(tree: dict[str, bytes | None], root: Path) -> None:
    """Make the folder ``root``, which must not exist, with what a cut left in it; private, as relayd's files are."""
    root.mkdir(mode=0o700, parents=True)
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir(mode=0o700)
        else:
            (root / path).touch(mode=0o600)
            (root / path).write_bytes(content)
