"""The route for people whose mail server can't be trusted: the message stays here, and a link goes out.

The message itself is stored already; delivering it means giving its recipient a *grant* and a notification with the
link. Both are part of the outcome, so that they come to exist in the transaction that says "delivered", or not at all.
The link's token is 256 random bits; only its SHA-256 is stored, so it survives in the notification alone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Protocol

import structlog

from relayd.clock import Clock
from relayd.delivery.notices import Notices
from relayd.directory.directory import Directory, Organisation
from relayd.errors import KeyDestroyed, KeyUnavailable, SealBroken, StoreUnavailable
from relayd.mail.address import parse_address
from relayd.queue.outcome import Job, Outcome, Result
from relayd.settings.models import Configuration
from relayd.store.records import Delivery, NewMessage
from relayd.vault.vault import MessageKey, Vault

_log = structlog.get_logger("relayd.delivery")


class Composer(Protocol):
    """Seals a mail of our own and makes its body durable; the caller commits what it returns."""

    async def compose(self, *, organisation: str, recipient: str, content: bytes, parent: str) -> NewMessage: ...


class Random(Protocol):
    """Where secrets come from; the ``secrets`` module in production."""

    def token_bytes(self, nbytes: int | None = None) -> bytes: ...

    def token_urlsafe(self, nbytes: int | None = None) -> str: ...

    def token_hex(self, nbytes: int | None = None) -> str: ...

    def randbelow(self, exclusive_upper_bound: int) -> int: ...


class ViewerRoute:
    """Keeps the message for the Viewer and notifies each recipient."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Callable[[], Directory],
        vault: Vault,
        composer: Composer,
        clock: Clock,
        random: Random = secrets,
    ) -> None:
        self._origin = configuration.viewer.url.rstrip("/")
        self._notices = Notices(configuration)
        self._directory = directory
        self._vault = vault
        self._composer = composer
        self._clock = clock
        self._random = random

    async def deliver(self, job: Job) -> list[Outcome]:
        message = job.message
        organisation = self._directory().organisations.get(message.organisation)
        if organisation is None:
            return [_failed(one, "the sending organisation is no longer known") for one in job.deliveries]
        try:
            key = self._vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
            return [await self._grant(job, delivery, organisation, key) for delivery in job.deliveries]
        except (KeyDestroyed, SealBroken):
            return [_failed(one, "the message's key is gone") for one in job.deliveries]
        except (KeyUnavailable, StoreUnavailable) as error:
            _log.warning("viewer.deferred", message=message.id, reason=type(error).__name__)
            return [Outcome(one.number, Result.DEFERRED, "4.3.0", "keys or disk unavailable") for one in job.deliveries]

    async def close(self) -> None:
        return

    async def _grant(self, job: Job, delivery: Delivery, organisation: Organisation, key: MessageKey) -> Outcome:
        message = job.message
        mobile = job.meta.mobiles.get(parse_address(delivery.recipient).key)
        if mobile is None:
            return _failed(delivery, "no mobile number is known for this recipient")
        now = self._clock.now()
        token = self._random.token_urlsafe(32)
        grant_id = self._random.token_hex(16)
        content = self._notices.notification(
            organisation, delivery.recipient, f"{self._origin}/v/{token}", message.expires_at, now, grant_id
        )
        notification = await self._composer.compose(
            organisation=message.organisation, recipient=delivery.recipient, content=content, parent=message.id
        )
        grant = {
            "grant_id": grant_id,
            "token_hash": hashlib.sha256(token.encode()).digest(),
            "message_id": message.id,
            "organisation": message.organisation,
            "recipient": delivery.recipient,
            "copy": delivery.copy,
            "language": organisation.settings.language,
            "mobile": key.seal(f"grant:{grant_id}", mobile.encode()),
            "expires_at": message.expires_at,
        }
        return Outcome(
            delivery.number,
            Result.DELIVERED,
            "2.0.0",
            "kept for the Viewer, notification queued",
            facts={"notification": notification.id},
            follow_ups=(notification,),
            operations=(("viewer_grant_create", grant),),
        )


def _failed(delivery: Delivery, why: str) -> Outcome:
    return Outcome(delivery.number, Result.FAILED, "5.7.1", why)
