"""The installation's own secrets: the keys of form tokens and of counting numbers without knowing them."""

from __future__ import annotations

import asyncio

from viewer_web.services import Services


class Secrets:
    """Made once per installation, sealed in the store, held in memory from their first use on."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._keys: dict[str, bytes] = {}

    async def key(self, name: str) -> bytes:
        """Raises StoreUnavailable or KeyUnavailable; the next call tries again."""
        if name not in self._keys:
            vault, purpose = self._services.vault, f"viewer {name}"
            offered = await asyncio.to_thread(vault.seal_value, purpose, self._services.random.token_bytes(32))
            sealed = await self._services.store.call("viewer_secret_keep", name=name, sealed=offered)
            self._keys[name] = await asyncio.to_thread(vault.unseal_value, purpose, sealed)
        return self._keys[name]
