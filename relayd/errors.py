"""Every error that relayd raises on purpose.

::

    RelaydError
    ├── ConfigurationError      a file says something that can't work: file, line, key, what was expected
    ├── SmtpError               what a peer did deserves this reply; carries a Reply
    ├── SyntaxInvalid           a path, parameter, header or key=value pair doesn't parse
    ├── StoreError
    │   ├── StoreUnavailable    the disk or the database is sick: answer 4yz, pause
    │   │   ├── BodyNotStored   a body's octets couldn't be made durable
    │   │   ├── StoreAway       the store process is away: what was asked may have happened or not
    │   │   ├── StoreFull       the disk has less free than store.minimum_free
    │   │   └── StoreDamaged    the database's file isn't what we wrote: it has to be restored
    │   ├── NotFound            no such message, delivery or grant
    │   ├── LimitReached        what may be done only so often was done that often
    │   └── Conflict            the row has moved on since it was read (another owner, another generation)
    └── VaultError
        ├── KeyUnavailable      the key can't be had now (keyring unreadable): a later try may work
        ├── KeyDestroyed        the epoch's key was destroyed: what it sealed is gone for good
        │   └── PasswordNeeded  without its password it is as good as gone: nobody here knows that
        └── SealBroken          authentication of sealed bytes failed: altered, truncated or of another message

An exception outside this tree is a defect: at the SMTP border it becomes ``451 4.3.0`` with a reference, never its
own text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayd.mail.reply import Reply


class RelaydError(Exception):
    """Base of all errors raised on purpose."""


class ConfigurationError(RelaydError):
    """A configuration file is wrong. ``problems`` holds every mistake found, each ready to print."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Problem:
    """One mistake: where it stands, what is wrong, and what to write instead."""

    __slots__ = ("file", "key", "line", "text")

    def __init__(self, file: Path | str, line: int | None, key: str, text: str) -> None:
        self.file = file
        self.line = line
        self.key = key
        self.text = text

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class SmtpError(RelaydError):
    """Ends the current command with ``reply``. ``component`` and ``__cause__`` are for the log, never for the peer."""

    def __init__(self, reply: Reply, component: str = "") -> None:
        self.reply = reply
        self.component = component
        super().__init__(str(reply))


class SyntaxInvalid(RelaydError, ValueError):
    """Input that doesn't follow its grammar. The text names the rule and never quotes the input."""


class StoreError(RelaydError):
    """Base of what goes wrong with durable state."""


class StoreUnavailable(StoreError):
    """The disk or database is sick, or the store process is away: answer 4yz and pause delivery."""


class BodyNotStored(StoreUnavailable):
    """The octets of a body couldn't be made durable. What else lies in its segment may be lost with it."""


class StoreAway(StoreUnavailable):
    """The store process went away or isn't there: what was asked may have been committed, or not."""


class StoreFull(StoreUnavailable):
    """The disk has less free space than ``store.minimum_free``."""


class StoreDamaged(StoreUnavailable):
    """The database's file isn't what we wrote, or isn't there: time heals nothing, it has to be restored."""


class NotFound(StoreError):
    """No such row."""


class LimitReached(StoreError):
    """It may be done only so often, and was. Nothing of what it came with was done."""


class Conflict(StoreError):
    """The row has moved on since it was read."""


class VaultError(RelaydError):
    """Base of what goes wrong with keys and sealed bytes."""


class KeyUnavailable(VaultError):
    """The key can't be had now; a later try may work."""


class KeyDestroyed(VaultError):
    """The epoch's key was destroyed; what it sealed is gone for good."""


class PasswordNeeded(KeyDestroyed):
    """A message that was passed on: its key opens with a password that only its reader has."""


class SealBroken(VaultError):
    """Sealed bytes were altered, truncated, or belong to another message."""
