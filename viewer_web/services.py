"""What the Viewer works with, handed in by who assembles it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from relayd.clock import Clock
from relayd.delivery.viewer import Composer, Random
from relayd.directory.directory import Directory, Organisation
from relayd.mail.address import Domain
from relayd.mail.body import Body
from relayd.settings.models import Configuration
from relayd.sms.message import SmsSender
from relayd.store.interface import Store
from relayd.store.records import BlobRef
from relayd.tls.sts_policy import StsPolicy
from relayd.tls.sts_publish import published
from relayd.vault.vault import MessageKey, Vault


class Bodies(Protocol):
    """Opens stored bodies; ``relayd.store.blobs.Blobs`` is one."""

    def open(self, ref: BlobRef, key: MessageKey, head_length: int, size: int) -> Body: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside the web process. ``directory`` is asked anew each time, so that a reload shows."""

    configuration: Configuration
    store: Store
    vault: Vault
    blobs: Bodies
    directory: Callable[[], Directory]
    composer: Composer
    sms: SmsSender
    clock: Clock
    random: Random = secrets

    @property
    def origin(self) -> str:
        """Our origin as browsers see it: "https://viewer.example.nl"."""
        parts = urlsplit(self.configuration.viewer.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """Our host as an SMS names it: without a port, as browsers compare it."""
        return urlsplit(self.configuration.viewer.url).hostname or ""

    def published(self, domain: Domain) -> StsPolicy | None:
        """The MTA-STS policy that we serve for a domain."""
        return published(self.directory(), self.configuration.hostname, domain)

    def organisation(self, organisation: str) -> Organisation | None:
        return self.directory().organisations.get(organisation)
