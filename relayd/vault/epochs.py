"""Epoch keys: one per organisation and UTC week, in files of their own so that each can be destroyed.

``<folder>/<organisation>/<epoch>.json`` holds the wrapped key. Destruction overwrites and unlinks it and leaves
``<epoch>.destroyed``, so that "gone for good" and "can't be had now" are never confused. The folder has its own
backup, of which only the latest is kept; it is never part of a backup of the store.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from relayd.errors import KeyDestroyed, KeyUnavailable
from relayd.vault.files import create_private, make_private_folder, read_private, sync_folder
from relayd.vault.keyring import Keyring
from relayd.vault.sealing import pack

_PURPOSE: Final = "epoch key"
_KEY: Final = ".json"
_GONE: Final = ".destroyed"


def epoch_of(unix: float) -> str:
    """The ISO week, in UTC, of a moment: "2026-W48"."""
    return _epoch_of_day(int(unix // 86400))


@lru_cache(16)
def _epoch_of_day(day: int) -> str:
    year, week, _ = datetime.fromtimestamp(day * 86400, UTC).isocalendar()
    return f"{year:04d}-W{week:02d}"


class EpochKey(NamedTuple):
    """One epoch's key. ``id`` is stored with everything it wraps."""

    id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"EpochKey({self.id.hex()})"


class _File(msgspec.Struct, frozen=True):
    version: int
    id: bytes
    root: str
    wrapped: bytes


class EpochKeys:
    """The folder of epoch keys. Safe between processes; what is destroyed in one is gone in all at once.

    The folder is made here and never later: one that goes away while relayd runs is a file system that isn't mounted,
    and keys made in its place would be hidden, with all that they seal, once it is back.
    """

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        try:
            make_private_folder(folder)
        except OSError as error:
            raise KeyUnavailable(f"{folder}: {error.strerror}") from error
        self._folder = folder
        self._keyring = keyring
        self._opened: dict[tuple[str, str], tuple[Path, EpochKey]] = {}
        self._durable: set[tuple[str, str]] = set()

    def key(self, organisation: str, epoch: str) -> EpochKey:
        """The key, made when there is none yet. It is durable when this returns, whoever made it."""
        try:
            key = self.existing(organisation, epoch)
        except _NotMade:
            self._create(self._path(organisation, epoch), organisation, epoch)
            key = self.existing(organisation, epoch)
        if (organisation, epoch) not in self._durable:
            self._make_durable(self._path(organisation, epoch))
            self._durable.add((organisation, epoch))
        return key

    def existing(self, organisation: str, epoch: str) -> EpochKey:
        """The key; KeyDestroyed or KeyUnavailable when there is none."""
        known = self._opened.get((organisation, epoch))
        if known is not None:
            path, key = known
            # Another process may have destroyed it meanwhile; what is in memory doesn't outlive the file.
            try:
                os.stat(path)
            except FileNotFoundError:
                del self._opened[organisation, epoch]
                raise self._missing(path, organisation, epoch) from None
            except OSError as error:
                raise KeyUnavailable(f"{path}: {error.strerror}") from error
            return key
        path = self._path(organisation, epoch)
        try:
            data = read_private(path)
        except FileNotFoundError:
            raise self._missing(path, organisation, epoch) from None
        try:
            stored = msgspec.json.decode(data, type=_File)
        except msgspec.MsgspecError as error:
            raise KeyUnavailable(f"{path}: {error}") from None
        secret = self._keyring.unwrap(stored.root, _PURPOSE, _context(organisation, epoch, stored.id), stored.wrapped)
        key = EpochKey(stored.id, secret)
        self._opened[organisation, epoch] = path, key
        return key

    def destroy(self, organisation: str, epoch: str) -> None:
        """Overwrite and unlink the key, durably. Doing it again is fine; it can't be made again."""
        path = self._path(organisation, epoch)
        try:
            self._prepare(path.parent)
            create_private(path.with_suffix(_GONE), b"")
            _overwrite(path)
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise KeyUnavailable(f"{path}: {error.strerror}") from error
        self._opened.pop((organisation, epoch), None)

    def exists(self, organisation: str, epoch: str) -> bool:
        """Whether the key's file is there."""
        return self._path(organisation, epoch).exists()

    def all(self) -> list[tuple[str, str]]:
        """Organisation and epoch of every key that exists."""
        found = self._folder.glob(f"*/*{_KEY}")
        return sorted((unquote(path.parent.name.rstrip("%")), path.stem) for path in found)

    def _path(self, organisation: str, epoch: str) -> Path:
        # An organisation's id becomes one folder name, whatever is in it; "%" alone stands for none.
        return self._folder / (quote(organisation, safe="").replace(".", "%2E") or "%") / f"{epoch}{_KEY}"

    def _prepare(self, folder: Path) -> None:
        if not self._folder.is_dir():
            raise KeyUnavailable(f"{self._folder} isn't there any more; is its file system mounted?")
        make_private_folder(folder)

    def _missing(self, path: Path, organisation: str, epoch: str) -> KeyDestroyed | KeyUnavailable:
        if path.with_suffix(_GONE).exists():
            return KeyDestroyed(f"the key of {organisation or 'the installation'} for {epoch} was destroyed")
        return _NotMade(f"{path} doesn't exist")

    def _create(self, path: Path, organisation: str, epoch: str) -> None:
        identity = os.urandom(8)
        root, wrapped = self._keyring.wrap(_PURPOSE, _context(organisation, epoch, identity), os.urandom(32))
        try:
            self._prepare(path.parent)
            create_private(path, msgspec.json.encode(_File(1, identity, root, wrapped)))
        except OSError as error:
            raise KeyUnavailable(f"{path}: {error.strerror}") from error

    def _make_durable(self, path: Path) -> None:
        """Once in a process's life: who made the file may have been killed before it was safe."""
        try:
            make_private_folder(path.parent)
            sync_folder(path.parent)
        except OSError as error:
            raise KeyUnavailable(f"{path}: {error.strerror}") from error


class _NotMade(KeyUnavailable):
    """There is no file, and none was destroyed."""


def _context(organisation: str, epoch: str, identity: bytes) -> bytes:
    return pack(organisation, epoch, identity)


def _overwrite(path: Path) -> None:
    """Put zeros over the file's own blocks, as far as the file system writes in place."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
