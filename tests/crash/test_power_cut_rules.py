"""The rules by which a power cut is played: what the file system's contract keeps, and what it may lose."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.kit.power_cut import PAGE, Disk, lay_out
from tests.kit.recording import Entry, Kind

FILE = 7
FOLDER = 8
NOTHING, EVERYTHING = 0.0, 1.0


class Story:
    """Calls on one disk, told in short words. Names are relative to its root, which is there and durable."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.root.mkdir()
        (self.root / "old").write_bytes(b"old content")
        self.disk = Disk(self.root)
        self._syncs = 0
        self.open_folder("", FOLDER)

    def open_file(self, name: str, inode: int = FILE, flags: int = os.O_CREAT) -> None:
        self._do(Kind.OPEN, path=name, inode=inode, offset=flags)

    def open_folder(self, name: str, inode: int) -> None:
        self._do(Kind.OPEN, path=name, inode=inode, offset=os.O_DIRECTORY)

    def write(self, data: bytes, at: int = 0, inode: int = FILE) -> None:
        self._do(Kind.WRITE, inode=inode, offset=at, data=data)

    def truncate(self, length: int, inode: int = FILE) -> None:
        self._do(Kind.TRUNCATE, inode=inode, offset=length)

    def rename(self, name: str, target: str) -> None:
        self._do(Kind.RENAME, path=name, target=target)

    def unlink(self, name: str) -> None:
        self._do(Kind.UNLINK, path=name)

    def mkdir(self, name: str) -> None:
        self._do(Kind.MKDIR, path=name)

    def sync_begins(self, inode: int = FILE) -> int:
        self._syncs += 1
        self._do(Kind.SYNC_BEGUN, inode=inode, position=self._syncs)
        return self._syncs

    def sync_ends(self, sync: int) -> None:
        self._do(Kind.SYNC_DONE, inode=sync)

    def sync(self, inode: int = FILE) -> None:
        self.sync_ends(self.sync_begins(inode))

    def _do(
        self,
        kind: Kind,
        *,
        path: str = "",
        target: str = "",
        inode: int = 0,
        offset: int = 0,
        data: bytes = b"",
        position: int = 0,
    ) -> None:
        path, target = str(self.root / path), str(self.root / target)
        self.disk.apply([Entry(kind, 0.0, inode, offset, path, target, data, position)])

    def cut(self, surviving: float, seed: int = 1) -> dict[str, bytes | None]:
        """What is left beside what was there from the beginning."""
        tree = self.disk.cut(Random(seed), surviving)
        assert tree.pop("old") == b"old content"
        return tree

    def outcomes(self, surviving: float = 0.5) -> list[dict[str, bytes | None]]:
        """What many cuts at this moment leave."""
        return [self.cut(surviving, seed) for seed in range(200)]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_what_was_synced_is_there_and_what_came_later_needs_luck(story: Story) -> None:
    story.open_file("a")
    story.write(b"first")
    story.sync()
    story.sync(FOLDER)
    story.write(b"SECOND")
    assert story.cut(NOTHING) == {"a": b"first"}
    assert story.cut(EVERYTHING) == {"a": b"SECOND"}


def test_a_sync_covers_what_was_written_before_it_began(story: Story) -> None:
    story.open_file("a")
    story.sync(FOLDER)
    story.write(b"before")
    sync = story.sync_begins()
    story.write(b"during", at=6)
    assert story.cut(NOTHING) == {"a": b""}  # it hasn't ended
    story.sync_ends(sync)
    assert story.cut(NOTHING) == {"a": b"before"}


def test_a_files_own_sync_says_nothing_of_its_name(story: Story) -> None:
    story.open_file("a")
    story.write(b"content")
    story.sync()
    assert story.cut(NOTHING) == {}
    assert story.cut(EVERYTHING) == {"a": b"content"}


def test_a_folders_sync_says_nothing_of_the_folder_above(story: Story) -> None:
    story.mkdir("week")
    story.open_folder("week", 9)
    story.open_file("week/a")
    story.write(b"content")
    story.sync()
    story.sync(9)
    assert story.cut(NOTHING) == {}
    story.sync(FOLDER)
    assert story.cut(NOTHING) == {"week": None, "week/a": b"content"}


def test_pages_survive_one_by_one(story: Story) -> None:
    story.open_file("a")
    story.sync(FOLDER)
    story.write(b"x" * 3 * PAGE)
    found = {left["a"] for left in story.outcomes()}
    assert b"\0" * PAGE + b"x" * PAGE + b"\0" * PAGE in found
    assert b"x" * 3 * PAGE in found
    assert b"" in found  # data without its length
    assert b"\0" * 3 * PAGE in found  # length without its data


def test_a_page_may_be_torn_between_sectors_and_nowhere_else(story: Story) -> None:
    story.open_file("a")
    story.write(b"o" * PAGE)
    story.sync()
    story.sync(FOLDER)
    story.write(b"n" * PAGE)
    found = {left["a"] for left in story.outcomes(0.9)}
    torn = found - {b"o" * PAGE, b"n" * PAGE}
    assert torn
    for content in torn:
        assert content is not None
        new = content.count(b"n")
        assert new % 512 == 0
        assert content == b"n" * new + b"o" * (PAGE - new)


def test_a_truncation_is_a_change_like_any_other(story: Story) -> None:
    story.open_file("a")
    story.write(b"long content")
    story.sync()
    story.sync(FOLDER)
    story.truncate(4)
    assert story.cut(NOTHING) == {"a": b"long content"}
    story.sync()
    assert story.cut(NOTHING) == {"a": b"long"}


def test_a_file_that_is_opened_with_truncation_may_keep_what_it_had(story: Story) -> None:
    story.open_file("a")
    story.write(b"content")
    story.sync()
    story.sync(FOLDER)
    story.open_file("a", flags=os.O_TRUNC)
    assert story.cut(NOTHING) == {"a": b"content"}
    assert story.cut(EVERYTHING) == {"a": b""}


def test_a_removed_name_may_come_back_until_its_folder_is_synced(story: Story) -> None:
    story.open_file("a")
    story.sync(FOLDER)
    story.unlink("a")
    assert story.cut(NOTHING) == {"a": b""}
    story.sync(FOLDER)
    assert story.cut(NOTHING) == {}


def test_a_rename_within_a_folder_is_done_or_not(story: Story) -> None:
    story.open_file("a")
    story.sync(FOLDER)
    story.rename("a", "b")
    assert {tuple(left) for left in story.outcomes()} == {("a",), ("b",)}


def test_a_rename_to_another_folder_never_loses_the_file(story: Story) -> None:
    story.mkdir("week")
    story.open_file("a")
    story.sync(FOLDER)
    story.open_folder("week", 9)
    story.rename("a", "week/b")
    kept = {frozenset(left) - {"week"} for left in story.outcomes()}
    assert kept == {frozenset({"a"}), frozenset({"week/b"}), frozenset({"a", "week/b"})}
    story.sync(9)
    assert all("week/b" in left for left in story.outcomes())
    story.sync(FOLDER)
    assert story.cut(NOTHING) == {"week": None, "week/b": b""}


def test_the_same_name_twice_is_the_old_or_the_new_file(story: Story) -> None:
    story.open_file("a")
    story.write(b"1")
    story.sync()
    story.sync(FOLDER)
    story.unlink("a")
    story.open_file("a", inode=17)
    story.write(b"2", inode=17)
    story.sync(17)
    assert {left.get("a") for left in story.outcomes()} == {None, b"1", b"2"}


def test_what_is_left_can_be_laid_out(story: Story, tmp_path: Path) -> None:
    story.mkdir("week")
    story.open_file("week/a")
    story.write(b"content")
    lay_out(story.cut(EVERYTHING), tmp_path / "after")
    assert (tmp_path / "after" / "week" / "a").read_bytes() == b"content"
    assert (tmp_path / "after" / "week" / "a").stat().st_mode & 0o077 == 0
