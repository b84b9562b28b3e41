"""What a process works with, assembled once: store, vault, bodies, clock, and what is in force."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from relayd.authenticity.authenticator import MessageAuthenticator
from relayd.authenticity.observation import DmarcResults, NoDmarcResults
from relayd.clock import Clock, SystemClock
from relayd.daemon.connections import Seat
from relayd.daemon.in_force import InForce
from relayd.daemon.viewer_addresses import ViewerAddresses
from relayd.delivery.ways import Ways
from relayd.dns.resolver import Resolver
from relayd.inspection.inspector import ProcessInspector
from relayd.pipeline.policy import Context, NtaRecords
from relayd.queue.composer import Composer
from relayd.queue.scheduler import Lanes
from relayd.settings.models import Configuration
from relayd.smtp.door import Credentials
from relayd.store.blobs import Blobs
from relayd.store.client import StoreClient
from relayd.vault.epochs import EpochKeys
from relayd.vault.keyring import Keyring
from relayd.vault.vault import Vault


@dataclass(slots=True)
class Services:
    """The parts of one worker. ``in_force`` and ``ways`` are replaced on reload; everything else lives as long as the
    process."""

    owner: str
    seat: Seat
    in_force: InForce
    store: StoreClient
    vault: Vault
    blobs: Blobs
    clock: Clock
    random: random.Random
    inspector: ProcessInspector
    resolver: Resolver
    nta: NtaRecords
    credentials: Credentials
    composer: Composer
    lanes: Lanes = field(init=False)
    ways: Ways = field(init=False)
    dmarc: DmarcResults = field(default_factory=NoDmarcResults)

    def context(self, in_force: InForce) -> Context:
        """What policies may use on one message, under the given state of the configuration."""
        return Context(
            directory=in_force.directory,
            limits=self.store,
            inspector=self.inspector,
            clock=self.clock,
            authenticator=MessageAuthenticator(self.resolver, self.clock),
            nta=self.nta,
            ways=self.ways,
            viewer=ViewerAddresses(self.store, self.vault, self.clock),
        )


def open_vault(configuration: Configuration) -> Vault:
    """The vault over the configured keys folder. Raises VaultError."""
    keyring = Keyring.load(configuration.keys)
    return Vault(keyring, EpochKeys(configuration.keys / "epochs", keyring))


def open_blobs(configuration: Configuration, worker: str, clock: Clock | None = None) -> Blobs:
    """The sealed bodies, as ``worker`` sees them."""
    return Blobs(configuration.state / "blobs", worker, settings=configuration.store, clock=clock or SystemClock())
