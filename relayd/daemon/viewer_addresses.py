"""The Viewer's own mail addresses, as policies may ask about them: who reads behind one, and whose mail may reach
him."""

from __future__ import annotations

import asyncio

from relayd.clock import Clock
from relayd.delivery.installation import ADDRESS_KINDS, digest
from relayd.errors import KeyDestroyed, NotFound, SealBroken
from relayd.mail.meta import Reader
from relayd.pipeline.policy import ViewerAddress
from relayd.store.interface import Store
from relayd.store.records import Message
from relayd.store.viewer_tables import AddressKind, Channel, Grant
from relayd.vault.vault import Vault


class ViewerAddresses:
    """Implements ``relayd.pipeline.policy.ViewerAddresses`` on the store. An address lives as long as the reader's
    right to read, and so no longer than the key of his number."""

    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    async def look_up(self, local_part: str) -> ViewerAddress | None:
        """Raises StoreUnavailable and KeyUnavailable."""
        prefix, _, token = local_part.lower().partition(".")
        kind = ADDRESS_KINDS.get(prefix)
        if kind is None:
            return None
        grant: Grant | None = await self._store.call(
            "viewer_grant_by_address", kind=kind.value, token_hash=digest(token)
        )
        if grant is None or not grant.recipient:
            return None
        if kind is not AddressKind.REPLY:
            return ViewerAddress(grant.organisation)
        if grant.ended(self._clock.now()) or grant.channel is Channel.PASSWORD:
            return None
        try:
            message = await self._store.message(grant.message_id)
            reader = await asyncio.to_thread(self._reader, grant, message)
        except (NotFound, KeyDestroyed, SealBroken):
            return None
        return ViewerAddress(grant.organisation, reader)

    def _reader(self, grant: Grant, message: Message) -> Reader:
        key = self._vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
        return Reader(
            mobile=key.unseal(f"grant:{grant.id}", grant.mobile).decode() if grant.mobile else "",
            verifier=key.unseal(f"access:{grant.id}", grant.secret).decode() if grant.secret else "",
            email=grant.channel is Channel.EMAIL,
            address=grant.recipient,
            thread=grant.thread,
        )
