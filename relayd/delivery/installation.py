"""The installation's own secrets, and the tokens made of them.

Links and mail addresses of the Viewer carry tokens. A token is an HMAC of what it stands for, so that the same link can
be written again in a reminder; the store has only its SHA-256. Whoever steals the database has neither the tokens nor,
since the keys are sealed, what they are made of.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b32encode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, Protocol

from relayd.store.interface import Store
from relayd.store.viewer_tables import AddressKind
from relayd.vault.vault import Vault

#: Octets of a token in a mail address: 128 bits, in letters that survive a change of case.
_ADDRESS_OCTETS: Final = 16
#: What stands in front of the token in an address, by its kind.
PREFIXES: Final = {AddressKind.REPLY: "r", AddressKind.BOUNCE: "n", AddressKind.FORWARD: "f"}
#: The other way round.
ADDRESS_KINDS: Final = {prefix: kind for kind, prefix in PREFIXES.items()}


class Random(Protocol):
    """Where secrets come from; the ``secrets`` module in production."""

    def token_bytes(self, nbytes: int | None = None) -> bytes: ...

    def token_urlsafe(self, nbytes: int | None = None) -> str: ...

    def token_hex(self, nbytes: int | None = None) -> str: ...

    def randbelow(self, exclusive_upper_bound: int) -> int: ...


class InstallationSecrets:
    """Made once per installation, sealed in the store, held in memory from their first use on."""

    def __init__(self, store: Store, vault: Vault, random: Random = secrets) -> None:
        self.store = store
        self._vault = vault
        self._random = random
        self._keys: dict[str, bytes] = {}

    async def key(self, name: str) -> bytes:
        """32 octets. Raises StoreUnavailable or KeyUnavailable; the next call tries again."""
        if name not in self._keys:
            purpose = f"viewer {name}"
            offered = await asyncio.to_thread(self._vault.seal_value, purpose, self._random.token_bytes(32))
            sealed = await self.store.call("viewer_secret_keep", name=name, sealed=offered)
            self._keys[name] = await asyncio.to_thread(self._vault.unseal_value, purpose, sealed)
        return self._keys[name]

    async def tokens(self) -> Tokens:
        """Raises as :meth:`key` does."""
        return Tokens(await self.key("tokens"))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Writes tokens. Nobody reads anything out of one: it is looked up by its digest."""

    key: bytes

    def link(self, grant_id: str) -> str:
        """Of the reader's link: 256 bits, 43 characters."""
        return self._token(f"link {grant_id}")

    def sender(self, message_id: str) -> str:
        """Of the link to the sender's own page."""
        return self._token(f"sender {message_id}")

    def address(self, kind: AddressKind, grant_id: str) -> str:
        """Of a mail address, 26 lower-case characters."""
        octets = self._mac(f"{kind} {grant_id}")[:_ADDRESS_OCTETS]
        return b32encode(octets).decode().rstrip("=").lower()

    def local_part(self, kind: AddressKind, grant_id: str) -> str:
        """What stands in front of the @: "r.TOKEN", "n.TOKEN"."""
        return f"{PREFIXES[kind]}.{self.address(kind, grant_id)}"

    def _token(self, purpose: str) -> str:
        return urlsafe_b64encode(self._mac(purpose)).decode().rstrip("=")

    def _mac(self, purpose: str) -> bytes:
        return hmac.digest(self.key, purpose.encode(), "sha256")


def digest(token: str) -> bytes:
    """How tokens are stored."""
    return hashlib.sha256(token.encode()).digest()
