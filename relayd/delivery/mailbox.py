"""Route ``mailbox``: hosted mail, by LMTP (RFC 2033) to Dovecot or into a Maildir.

The directory says whose mailbox an address is; aliases end here, and the mail server is asked for the account alone.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from relayd.clock import Clock
from relayd.delivery.client import Hop, HopUnavailable
from relayd.delivery.pool import Pool
from relayd.delivery.relay import Sending, send_through
from relayd.errors import SyntaxInvalid
from relayd.mail.address import parse_address
from relayd.queue.outcome import Content, Job, Outcome, Result
from relayd.store.records import Delivery
from relayd.vault.files import make_private_folder, sync_folder

log = structlog.get_logger("relayd.delivery")

#: The account whose mailbox this address key reaches, or None.
Lookup = Callable[[str], str | None]


def account_of(lookup: Lookup, delivery: Delivery) -> str | None:
    """Whose mailbox a delivery goes to."""
    try:
        return lookup(parse_address(delivery.recipient).key)
    except SyntaxInvalid:
        return None


def unknown(delivery: Delivery) -> Outcome:
    """Nobody's mailbox."""
    return Outcome(delivery.number, Result.FAILED, "5.1.1", "there is no such mailbox here")


class LmtpRoute:
    """Delivers to a mail server that replies for each recipient after the end of data."""

    def __init__(self, hop: Hop, pool: Pool, lookup: Lookup) -> None:
        self._hop = hop
        self._pool = pool
        self._lookup = lookup

    async def deliver(self, job: Job) -> list[Outcome]:
        accounts = [(delivery, account_of(self._lookup, delivery)) for delivery in job.deliveries]
        known = tuple(msgspec.structs.replace(d, recipient=account) for d, account in accounts if account is not None)
        found = {outcome.number: outcome for outcome in await self._send(job, known)}
        return [found.get(delivery.number) or unknown(delivery) for delivery in job.deliveries]

    async def _send(self, job: Job, deliveries: tuple[Delivery, ...]) -> list[Outcome]:
        if not deliveries:
            return []
        sending = Sending(replace(job, deliveries=deliveries))
        try:
            await send_through(self._pool, self._hop, sending)
        except HopUnavailable as error:
            sending.unreached(Result.DEFERRED, error.status, error.reply, error.remote)
        return sending.outcomes()

    async def close(self) -> None:
        await self._pool.close()


class MaildirRoute:
    """Writes into ``folder``/account/new. Clear text on disk: only where the configuration accepts that."""

    def __init__(self, folder: Path, lookup: Lookup, clock: Clock, hostname: str) -> None:
        self._folder = folder
        self._lookup = lookup
        self._clock = clock
        self._hostname = hostname
        self._made: set[str] = set()

    async def deliver(self, job: Job) -> list[Outcome]:
        return [await self._one(job, delivery) for delivery in job.deliveries]

    async def _one(self, job: Job, delivery: Delivery) -> Outcome:
        account = account_of(self._lookup, delivery)
        if account is None or not is_file_name(account):
            return unknown(delivery)
        mailbox = self._folder / account
        # A name of its own, as the Maildir format has it: time, unique part, host.
        unique = f"{job.message.id}.{delivery.number}.{secrets.token_hex(4)}"
        name = f"{int(self._clock.now())}.{unique}.{self._hostname}"
        head = f"Return-Path: <{job.message.sender}>\r\n".encode()
        try:
            if account not in self._made or not mailbox.is_dir():
                await asyncio.to_thread(make_maildir, mailbox)
                self._made.add(account)
            await write_durably(mailbox / "tmp" / name, mailbox / "new" / name, job.content, head)
        except OSError as error:
            log.error("maildir_failed", id=job.message.id, error=error.strerror)
            return Outcome(delivery.number, Result.DEFERRED, "4.3.0", "the mailbox can't be written now")
        return Outcome(delivery.number, Result.DELIVERED, "2.0.0", "stored in the mailbox")

    async def close(self) -> None:
        return


def is_file_name(name: str) -> bool:
    """Whether a name may stand as one file name in our folders."""
    return bool(name) and "/" not in name and not name.startswith(".") and name.isprintable()


def make_maildir(mailbox: Path) -> None:
    """Made, and durable whoever made it."""
    make_private_folder(mailbox)
    for part in ("tmp", "cur", "new"):
        (mailbox / part).mkdir(mode=0o700, exist_ok=True)
    sync_folder(mailbox)


async def write_durably(temporary: Path, final: Path, content: Content, head: bytes = b"") -> None:
    """Write ``head`` and ``content`` so that ``final`` either is complete and survives a power cut, or isn't there."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            await asyncio.to_thread(_write_all, descriptor, [head])
            async for block in content.blocks():
                await asyncio.to_thread(_write_all, descriptor, [block])
            await asyncio.to_thread(os.fsync, descriptor)
        finally:
            os.close(descriptor)
        await asyncio.to_thread(_publish, temporary, final)
    except BaseException:
        await asyncio.to_thread(temporary.unlink, missing_ok=True)
        raise


def _write_all(descriptor: int, blocks: Sequence[bytes]) -> None:
    for block in blocks:
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]


def _publish(temporary: Path, final: Path) -> None:
    os.rename(temporary, final)
    try:
        sync_folder(final.parent)
    except OSError:
        # It is going to be delivered again: one copy is enough.
        final.unlink(missing_ok=True)
        raise
