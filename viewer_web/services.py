"""What the Viewer works with, handed in by who assembles it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from relayd.clock import Clock
from relayd.delivery.installation import Random
from relayd.delivery.origins import viewer_origin
from relayd.delivery.viewer import Composer
from relayd.directory.directory import Directory, Organisation
from relayd.mail.address import Address, Domain
from relayd.mail.body import Body
from relayd.pipeline.policy import Limits
from relayd.rendering.renderer import ProcessRenderer, Renderer
from relayd.settings.models import Configuration
from relayd.sms.message import SmsSender
from relayd.store.interface import Store
from relayd.store.receiving import BlobReceiving, StoredBody
from relayd.store.records import BlobRef
from relayd.store.sealed_body import PART
from relayd.tls.sts_policy import StsPolicy
from relayd.tls.sts_publish import published
from relayd.vault.vault import MessageKey, Vault


class Bodies(Protocol):
    """Opens stored bodies and takes new ones; ``relayd.store.blobs.Blobs`` is one."""

    def receive(self, key: MessageKey) -> BlobReceiving: ...

    async def make_durable(self, stored: StoredBody) -> BlobRef: ...

    def open(self, ref: BlobRef, key: MessageKey, head_length: int, size: int, part: str = PART) -> Body: ...


class Outgoing(Protocol):
    """Mail that a reader writes: it takes the way of all mail, through the pipeline into the queue."""

    async def submit(
        self,
        *,
        organisation: str,
        sender: Address,
        recipient: Address,
        content: AsyncIterator[bytes],
        parent: str,
        operations: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> str:
        """Judge, sign and commit one message; returns its id.

        ``content`` is a whole message with CRLF lines, in blocks; each block is sealed as it comes. ``organisation`` is
        whose key protects it, and on whose behalf it is sent; ``sender`` is the envelope's. ``operations`` are carried
        out in the transaction that accepts it: what they raise, LimitReached for one, is raised here, and nothing was
        sent.

        Raises SmtpError with the pipeline's reply when it is refused, and StoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside the web process. ``directory`` is asked anew each time, so that a reload shows; ``signing``
    gives the domains that we hold DKIM keys of."""

    configuration: Configuration
    store: Store
    vault: Vault
    blobs: Bodies
    directory: Callable[[], Directory]
    composer: Composer
    sms: SmsSender
    outgoing: Outgoing
    limits: Limits
    clock: Clock
    random: Random = secrets
    signing: Callable[[], Collection[Domain]] = tuple
    renderer: Renderer = field(default_factory=ProcessRenderer)

    @property
    def origin(self) -> str:
        """Our origin as browsers see it: "https://viewer.example.nl"."""
        parts = urlsplit(self.configuration.viewer.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def origins(self) -> frozenset[str]:
        """Every origin that our pages may be asked under: the service's, and those of organisations."""
        organisations = self.directory().organisations.values()
        return frozenset({self.origin, *(viewer_origin(self.configuration, one) for one in organisations)})

    def published(self, domain: Domain) -> StsPolicy | None:
        """The MTA-STS policy that we serve for a domain."""
        return published(self.directory(), self.configuration.hostname, domain)

    def organisation(self, organisation: str) -> Organisation | None:
        return self.directory().organisations.get(organisation)
