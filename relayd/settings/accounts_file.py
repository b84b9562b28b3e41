"""Adds a login to the accounts file: one writer at a time, the file replaced as a whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relayd.errors import ConfigurationError, Problem
from relayd.settings.accounts import AccountLine, read_accounts

#: A new file is for its owner alone; Dovecot's group may be given access, which is then kept.
_MODE = 0o600
_MOST = 0o640


def add_account(path: Path, account: AccountLine, *, replace: bool = False) -> None:
    """Write ``account`` to ``path``; with ``replace`` in the place of the one of that name.

    Raises ConfigurationError when the file is wrong already, an address is taken, or the file can't be written.
    """
    try:
        _add(path, account, replace=replace)
    except OSError as error:
        raise ConfigurationError([Problem(path, None, "", f"can't be written: {error.strerror}")]) from error


def _add(path: Path, account: AccountLine, *, replace: bool) -> None:
    with _locked(path.parent):
        existing, problems = read_accounts(path) if path.exists() else ([], [])
        for other in existing:
            if other.name.key == account.name.key and replace:
                continue
            taken = {one.key for one in (other.name, *other.aliases)}
            problems += [
                Problem(path, other.line, str(address), f"is taken by {other.name.key}")
                for address in (account.name, *account.aliases)
                if address.key in taken
            ]
        if problems:
            raise ConfigurationError(problems)
        _replace(path, _edited(path, existing, account))


def _edited(path: Path, existing: list[AccountLine], account: AccountLine) -> str:
    """The file's text with the account's line in its place, and all other lines as they were."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    for other in existing:
        if other.name.key == account.name.key:
            lines[other.line - 1] = str(account)
            break
    else:
        lines.append(str(account))
    return "\n".join(lines) + "\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # the rename is durable once its folder is
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # left by a run that died; we hold the lock
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with open(descriptor, "w", encoding="utf-8") as file:
        if path.exists():
            kept = path.stat()
            os.fchmod(descriptor, kept.st_mode & _MOST)
            os.fchown(descriptor, kept.st_uid, kept.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
