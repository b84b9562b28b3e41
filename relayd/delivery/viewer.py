"""The route for people whose mail server can't be trusted: the message stays here, and a link goes out.

The message itself is stored already; delivering it means giving its recipient a *grant* and a notification with the
link. Both are part of the outcome, so that they come to exist in the transaction that says "delivered", or not at all.
The link's token is 256 bits that nobody can guess; only its SHA-256 is stored (see ``installation``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Protocol

import structlog
from argon2 import PasswordHasher

from relayd.clock import Clock
from relayd.delivery.installation import InstallationSecrets, Tokens, digest
from relayd.delivery.notices import Notices
from relayd.delivery.origins import viewer_origin
from relayd.directory.directory import Directory, Organisation
from relayd.errors import KeyDestroyed, KeyUnavailable, SealBroken, StoreUnavailable
from relayd.mail.address import Domain, parse_address
from relayd.mail.meta import Reader
from relayd.queue.outcome import Job, Outcome, Result
from relayd.settings.models import Configuration
from relayd.store.records import Delivery, Message, NewMessage
from relayd.store.viewer_tables import AddressKind, Channel
from relayd.vault.vault import MessageKey, Vault

_log = structlog.get_logger("relayd.delivery")

#: For access codes and passwords that people get; OWASP's smallest set of parameters (ASVS 5.0 appendix C).
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Composer(Protocol):
    """Seals a mail of our own and makes its body durable; the caller commits what it returns."""

    async def compose(
        self, *, organisation: str, recipient: str, content: bytes, parent: str, sender: str = ""
    ) -> NewMessage: ...


class ViewerRoute:
    """Keeps the message for the Viewer and notifies each recipient."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Callable[[], Directory],
        vault: Vault,
        composer: Composer,
        clock: Clock,
        secrets: InstallationSecrets,
        signing: Callable[[], Collection[Domain]] = tuple,
    ) -> None:
        self._configuration = configuration
        self._notices = Notices(configuration, signing)
        self._directory = directory
        self._vault = vault
        self._composer = composer
        self._clock = clock
        self._secrets = secrets

    async def deliver(self, job: Job) -> list[Outcome]:
        message = job.message
        organisation = self._directory().organisations.get(message.organisation)
        if organisation is None:
            return [_failed(one, "the sending organisation is no longer known") for one in job.deliveries]
        try:
            tokens = await self._secrets.tokens()
            key = self._vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
            outcomes = [await self._grant(job, delivery, organisation, key, tokens) for delivery in job.deliveries]
            return await self._confirmed(job, outcomes, organisation, tokens)
        except (KeyDestroyed, SealBroken):
            return [_failed(one, "the message's key is gone") for one in job.deliveries]
        except (KeyUnavailable, StoreUnavailable) as error:
            _log.warning("viewer.deferred", message=message.id, reason=type(error).__name__)
            return [Outcome(one.number, Result.DEFERRED, "4.3.0", "keys or disk unavailable") for one in job.deliveries]

    async def close(self) -> None:
        return

    async def _grant(
        self, job: Job, delivery: Delivery, organisation: Organisation, key: MessageKey, tokens: Tokens
    ) -> Outcome:
        message = job.message
        reader = job.meta.readers.get(parse_address(delivery.recipient).key)
        channel = channel_of(reader) if reader is not None else None
        if reader is None or channel is None:
            return _failed(delivery, "no mobile number is known for this recipient")
        recipient = reader.address or delivery.recipient
        # The same for every try, so that one that is repeated doesn't give a second grant.
        grant_id = grant_identity(message.id, delivery.number)
        content = self._notices.notification(
            organisation,
            recipient,
            f"{viewer_origin(self._configuration, organisation)}/v/{tokens.link(grant_id)}",
            message.expires_at,
            self._clock.now(),
            grant_id,
            channel,
        )
        notification = await self._composer.compose(
            organisation=message.organisation,
            recipient=recipient,
            content=content,
            parent=message.id,
            sender=bounce_address(self._configuration, tokens, grant_id),
        )
        grant = await grant_arguments(
            message,
            key,
            tokens,
            grant_id=grant_id,
            recipient=recipient,
            copy=delivery.copy,
            language=organisation.settings.language,
            channel=channel,
            reader=reader,
        )
        return Outcome(
            delivery.number,
            Result.DELIVERED,
            "2.0.0",
            "kept for the Viewer, notification queued",
            facts={"notification": notification.id},
            follow_ups=(notification,),
            operations=(("viewer_grant_create", grant),),
        )

    async def _confirmed(
        self, job: Job, outcomes: list[Outcome], organisation: Organisation, tokens: Tokens
    ) -> list[Outcome]:
        """The outcomes, with the mail that gives the sender the link to his page: once for a message, and never to a
        program."""
        message = job.message
        kept = [number for number, one in enumerate(outcomes) if one.result is Result.DELIVERED]
        wanted = organisation.settings.confirmation and message.sender and not job.meta.automatic
        if not kept or not wanted or await self._secrets.store.call("viewer_sender_known", message_id=message.id):
            return outcomes
        token = tokens.sender(message.id)
        readers = [job.meta.readers[parse_address(job.deliveries[number].recipient).key] for number in kept]
        names = [one.address or job.deliveries[number].recipient for number, one in zip(kept, readers, strict=True)]
        content = self._notices.confirmation(
            organisation,
            message.sender,
            names,
            f"{viewer_origin(self._configuration, organisation)}/s/{token}",
            self._clock.now(),
            digest(token).hex()[:32],
            job.meta.message_id,
        )
        mail = await self._composer.compose(
            organisation=message.organisation, recipient=message.sender, content=content, parent=message.id
        )
        created = {"message_id": message.id, "token_hash": digest(token), "expires_at": message.expires_at}
        first = outcomes[kept[0]]
        outcomes[kept[0]] = replace(
            first,
            facts=first.facts | {"confirmation": mail.id},
            follow_ups=(*first.follow_ups, mail),
            operations=(*first.operations, ("viewer_sender_create", created)),
        )
        return outcomes


def bounce_address(configuration: Configuration, tokens: Tokens, grant_id: str) -> str:
    """The return path of what goes to this grant's reader (VERP): whatever comes back names him by itself."""
    return f"{tokens.local_part(AddressKind.BOUNCE, grant_id)}@{configuration.viewer_mail_domain}"


def channel_of(reader: Reader) -> Channel | None:
    """How this reader will show that the message is for him; None when there is no way."""
    if reader.access_code or reader.verifier:
        return Channel.ACCESS_CODE
    if reader.mobile:
        return Channel.SMS
    return Channel.EMAIL if reader.email else None


def grant_identity(message_id: str, number: int) -> str:
    """The id of the grant that a delivery becomes: 32 hexadecimal digits. It is no secret."""
    return digest(f"grant {message_id} {number}").hex()[:32]


async def grant_arguments(
    message: Message,
    key: MessageKey,
    tokens: Tokens,
    *,
    grant_id: str,
    recipient: str,
    copy: int,
    language: str,
    channel: Channel,
    reader: Reader,
) -> dict[str, Any]:
    """The arguments of ``viewer_grant_create``, with what is private sealed under the message's ``key``."""
    secret: bytes | None = None
    if channel is Channel.ACCESS_CODE:
        verifier = reader.verifier or await asyncio.to_thread(HASHER.hash, reader.access_code)
        secret = key.seal(f"access:{grant_id}", verifier.encode())
    return {
        "grant_id": grant_id,
        "token_hash": digest(tokens.link(grant_id)),
        "message_id": message.id,
        "organisation": message.organisation,
        "recipient": recipient,
        "copy": copy,
        "language": language,
        "channel": channel.value,
        "mobile": key.seal(f"grant:{grant_id}", reader.mobile.encode()) if reader.mobile else None,
        "secret": secret,
        "thread": reader.thread or grant_id,
        "addresses": {kind.value: digest(tokens.address(kind, grant_id)) for kind in AddressKind},
        "expires_at": message.expires_at,
    }


def _failed(delivery: Delivery, why: str) -> Outcome:
    return Outcome(delivery.number, Result.FAILED, "5.7.1", why)
