"""Checks logins against the directory's accounts. Implements ``relayd.smtp.door.Credentials``.

Nothing here tells an account that exists from one that doesn't: an unknown name costs the same hash and gets the same
reply, and its SCRAM challenge is made up from a key, so that it is the same each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import structlog

from relayd.directory.directory import Account, Directory
from relayd.directory.verifiers import (
    SCRAM_ITERATIONS,
    ScramVerifier,
    check_password,
    hash_password,
    is_scram,
    parse_scram,
)
from relayd.errors import SmtpError, SyntaxInvalid
from relayd.mail.address import parse_address
from relayd.mail.envelope import Peer
from relayd.mail.reply import Reply

#: Failed logins are counted over this time.
WINDOW: Final = timedelta(minutes=15)
#: Hashes at once, each with 64 MiB, and logins that may wait for one. There are as many workers as processors, so more
#: threads in each would hash no more, and only take memory and the loops' time.
_THREADS: Final = 1
_WAITING: Final = 64
#: Of the hashing threads, beside the event loop's 0: mail goes on while many log in.
_NICENESS: Final = 5
_BUSY: Final = Reply(454, "4.7.0", "Too many logins at once; try again")
_LONGEST_PASSWORD: Final = 1024

T = TypeVar("T")

log = structlog.get_logger("relayd.directory")


class Counters(Protocol):
    """The part of the machine-wide limits that is needed here: see ``pipeline.policy.Limits``."""

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool: ...


def _yield_to_mail() -> None:
    """Linux has a niceness for each thread, so that the event loop's stays what it was."""
    with contextlib.suppress(OSError):  # where a container forbids it
        os.nice(_NICENESS)


@dataclass(frozen=True, slots=True)
class _Survey:
    """Which kinds of verifier (SCRAM or not) and which SCRAM iterations the accounts of a snapshot have."""

    directory: Directory
    kinds: tuple[bool, ...]
    iterations: tuple[int, ...]


def _survey(directory: Directory) -> _Survey:
    kinds, iterations = set(), set()
    for account in directory.accounts.values():
        kinds.add(is_scram(account.verifier))
        try:
            iterations.add(parse_scram(account.verifier).iterations)
        except SyntaxInvalid:
            pass
    return _Survey(directory, tuple(sorted(kinds)), tuple(sorted(iterations)))


class DirectoryCredentials:
    """``directory`` gives the snapshot in force. ``failures`` is the setting limits.auth_failures. ``disguise`` is a
    random key that all workers share: it makes up what unknown names get."""

    def __init__(
        self, directory: Callable[[], Directory], counters: Counters, failures: Callable[[], int], disguise: bytes
    ) -> None:
        self._directory = directory
        self._counters = counters
        self._failures = failures
        self._disguise = disguise
        self._pool = ThreadPoolExecutor(_THREADS, "password", _yield_to_mail)
        self._waiting = 0
        self._decoys: dict[bool, str] = {}
        self._surveyed: _Survey | None = None

    @property
    def offers_scram(self) -> bool:
        return self._survey().kinds == (True,)

    async def plain(self, peer: Peer, username: str, password: str) -> str | None:
        account = self._account(username)
        if len(password) > _LONGEST_PASSWORD:
            password, account = "", None
        if self._waiting >= _WAITING:
            raise SmtpError(_BUSY, "credentials")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._check, account, username, password)
        finally:
            self._waiting -= 1
        return account.name if account is not None and right else None

    async def scram(self, peer: Peer, username: str) -> ScramVerifier | None:
        account = self._account(username)
        if account is not None and is_scram(account.verifier):
            try:
                return parse_scram(account.verifier, account.name)
            except SyntaxInvalid:
                log.error("verifier_invalid", organisation=account.organisation)
        return ScramVerifier(
            account="",
            salt=self._made_up("salt", username)[:16],
            iterations=self._pick("iterations", username, self._survey().iterations or (SCRAM_ITERATIONS,)),
            stored_key=self._made_up("stored", username),
            server_key=self._made_up("server", username),
        )

    async def begin(self, peer: Peer, username: str) -> bool:
        counted: list[str] = []
        for key in self._keys(peer, username):
            if not await self._counters.take(key, 1, self._failures(), WINDOW):
                await self._give_back(counted)
                return False
            counted.append(key)
        return True

    async def succeeded(self, peer: Peer, username: str) -> None:
        await self._give_back(self._keys(peer, username))

    async def _give_back(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._counters.take(key, -1, self._failures(), WINDOW)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _account(self, username: str) -> Account | None:
        try:
            return self._directory().accounts.get(parse_address(username).key)
        except SyntaxInvalid:
            return None

    def _check(self, account: Account | None, username: str, password: str) -> bool:
        """In a thread of the pool."""
        decoy = self._decoy(username)  # made at the first login, whoever's that is, so that its cost tells nothing
        if account is None:
            check_password(decoy, password)
            return False
        try:
            return check_password(account.verifier, password)
        except SyntaxInvalid:
            log.error("verifier_invalid", organisation=account.organisation)
            return False

    def _decoy(self, username: str) -> str:
        """A verifier that fits nobody, of a kind that accounts here have."""
        scram = self._pick("kind", username, self._survey().kinds or (False,))
        if scram not in self._decoys:
            self._decoys[scram] = hash_password(self._disguise.hex(), "SCRAM-SHA-256" if scram else "ARGON2ID")
        return self._decoys[scram]

    def _survey(self) -> _Survey:
        directory = self._directory()
        if self._surveyed is None or self._surveyed.directory is not directory:
            self._surveyed = _survey(directory)
        return self._surveyed

    def _pick(self, what: str, username: str, choices: tuple[T, ...]) -> T:
        """The same choice for the same name, each time."""
        return choices[self._made_up(what, username)[0] % len(choices)]

    def _made_up(self, what: str, username: str) -> bytes:
        text = f"{what}\0{_canonical(username)}"
        return hmac.digest(self._disguise, text.encode("utf-8", "surrogatepass"), "sha256")

    def _keys(self, peer: Peer, username: str) -> tuple[str, str]:
        name = hashlib.sha256(_canonical(username).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"login account {name}", f"login peer {peer.address}"


def _canonical(username: str) -> str:
    """The one spelling of a name that stands for all of them, as accounts are found."""
    try:
        return parse_address(username).key
    except SyntaxInvalid:
        return username.casefold()
