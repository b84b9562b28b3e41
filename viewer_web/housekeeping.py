"""What must happen without anyone asking: forget what has expired, give the notices that are due, watch for SMS
fraud."""

from __future__ import annotations

import asyncio

import structlog

from relayd.delivery.installation import InstallationSecrets
from relayd.delivery.notice_texts import texts
from relayd.delivery.notices import Notices, display_name
from relayd.delivery.origins import viewer_origin
from relayd.delivery.receipt import read_receipt
from relayd.delivery.viewer import bounce_address
from relayd.directory.directory import Organisation
from relayd.errors import Conflict, KeyDestroyed, NotFound, RelaydError, StoreUnavailable
from relayd.mail.meta import MessageMeta
from relayd.store.records import Message, NewMessage
from relayd.store.viewer import DueNotice
from relayd.store.viewer_tables import Due, Grant
from relayd.vault.meta import open_meta
from viewer_web.services import Services
from viewer_web.sms_watch import SmsWatch

_log = structlog.get_logger("relayd.viewer")


class House:
    """Keeps house, one round at a time."""

    def __init__(self, services: Services, secrets: InstallationSecrets) -> None:
        self._services = services
        self._secrets = secrets
        self._notices = Notices(services.configuration, services.signing)
        self._sms = SmsWatch()

    async def round(self) -> None:
        """One round. Raises StoreUnavailable; one notice that can't be given doesn't hold up the others."""
        store = self._services.store
        await store.call("viewer_sweep")
        self._sms.look(await store.call("viewer_sms_countries"))
        organisations = self._services.directory().organisations
        days = {name: float(one.settings.reminder_days) for name, one in organisations.items()}
        await store.call("viewer_remind", days=days)
        due: list[DueNotice] = await store.call("viewer_due_notices")
        for notice in due:
            try:
                await self._give(notice.grant, notice.kind)
            except StoreUnavailable:
                raise
            except Conflict:
                continue  # another process gave it
            except RelaydError as error:
                _log.error("viewer.notice_failed", grant=notice.grant.id, kind=notice.kind, error=type(error).__name__)

    async def _give(self, grant: Grant, kind: Due) -> None:
        """The notice comes to exist in the transaction that says that it was given: once, whatever breaks."""
        given = ("viewer_notice_given", {"grant_id": grant.id, "kind": kind.value})
        mail = await self._mail(grant, kind)
        if mail is None:
            await self._services.store.call(given[0], **given[1])
            return
        await self._services.store.commit([mail], [given])
        _log.info("viewer.notice_given", grant=grant.id, kind=kind.value)

    async def _mail(self, grant: Grant, kind: Due) -> NewMessage | None:
        """None where there is nobody to tell any more."""
        services = self._services
        organisation = services.organisation(grant.organisation)
        if organisation is None or grant.ended(services.clock.now()):
            return None
        try:
            message = await services.store.message(grant.message_id)
            if kind is Due.REMINDER:
                return await self._reminder(organisation, grant)
            if not message.sender:
                return None
            content = await self._to_sender(organisation, message, grant, kind)
        except (NotFound, KeyDestroyed):
            return None
        return await services.composer.compose(
            organisation=grant.organisation, recipient=message.sender, content=content, parent=message.id
        )

    async def _reminder(self, organisation: Organisation, grant: Grant) -> NewMessage:
        services, tokens = self._services, await self._secrets.tokens()
        link = f"{viewer_origin(services.configuration, organisation)}/v/{tokens.link(grant.id)}"
        now, identity = services.clock.now(), services.random.token_hex(16)
        content = self._notices.reminder(organisation, grant.recipient, link, grant.expires_at, now, identity)
        return await services.composer.compose(
            organisation=grant.organisation,
            recipient=grant.recipient,
            content=content,
            parent=grant.message_id,
            sender=bounce_address(services.configuration, tokens, grant.id),
        )

    async def _to_sender(self, organisation: Organisation, message: Message, grant: Grant, kind: Due) -> bytes:
        services = self._services
        now, identity = services.clock.now(), services.random.token_hex(16)
        if kind is Due.READ:
            meta = await asyncio.to_thread(self._meta, message)
            text = texts(organisation.settings.language)
            return read_receipt(
                hostname=services.configuration.hostname,
                author=self._notices.address_of(organisation),
                to=message.sender,
                recipient=grant.recipient,
                message_id=meta.message_id,
                subject=text.subject_read,
                words=text.read.replace("{recipient}", grant.recipient).replace(
                    "{organisation}", display_name(organisation)
                ),
                now=now,
                id=identity,
            )
        known: bool = await services.store.call("viewer_sender_known", message_id=message.id)
        token = (await self._secrets.tokens()).sender(message.id)
        link = f"{viewer_origin(services.configuration, organisation)}/s/{token}" if known else ""
        return self._notices.alert(
            organisation, message.sender, grant.recipient, kind, message.received_at, now, identity, link
        )

    def _meta(self, message: Message) -> MessageMeta:
        key = self._services.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
        return open_meta(key, message.meta)
