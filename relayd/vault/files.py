"""Small files with secrets in them: written durably and atomically, read only when nobody else can read them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from relayd.errors import KeyUnavailable


def read_private(path: Path) -> bytes:
    """The file's octets. Refuses a file that another user owns, except to root, or that group or others may touch.

    FileNotFoundError passes through; every other trouble is KeyUnavailable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyUnavailable(f"{path}: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise KeyUnavailable(f"{path} is not a file")
        if facts.st_mode & 0o077:
            mode = stat.S_IMODE(facts.st_mode)
            raise KeyUnavailable(f"{path} has mode {mode:04o}; use chmod 0600 (no access for group and others)")
        if os.geteuid() not in (facts.st_uid, 0) and facts.st_uid != 0:
            raise KeyUnavailable(f"{path} belongs to user {facts.st_uid}, not to the user that relayd runs as")
        try:
            return file.read()
        except OSError as error:
            raise KeyUnavailable(f"{path}: {error.strerror}") from error


def create_private(path: Path, data: bytes) -> bool:
    """Create ``path`` with ``data`` and mode 0600, durable before this returns. False when it exists already.

    The complete file appears under its name or not at all, also when several processes try at once.
    """
    temporary = _written_beside(path, data)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            # The winner's file may not be durable yet when the loser looks at it.
            sync_folder(path.parent)
        return True
    finally:
        os.unlink(temporary)


def replace_private(path: Path, data: bytes) -> None:
    """Put ``data`` in ``path``'s place with mode 0600, durable before this returns. Readers see the old or the new."""
    temporary = _written_beside(path, data)
    try:
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    sync_folder(path.parent)


def _written_beside(path: Path, data: bytes) -> Path:
    """A durable file with ``data`` in the same folder, under a name of its own."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Create a folder (and those above it) with mode 0700, durable before this returns.

    So are the names of those that are there already, up to the first that isn't private: another process may have made
    them and been killed before it could sync.
    """
    if path.is_dir():
        if not _is_private(path):
            return  # not of our making
        make_private_folder(path.parent)
        try:
            sync_folder(path.parent)
        except OSError as error:
            # Where we may not look or nobody can write, none of our processes has made it a moment ago.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
        return
    make_private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def _is_private(path: Path) -> bool:
    facts = path.stat()
    return not facts.st_mode & 0o077 and facts.st_uid == os.geteuid()
