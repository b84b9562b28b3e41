"""A mail worker: listens, judges, commits, delivers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from functools import partial

import structlog

from relayd.authenticity.dkim_verify import DkimVerifier
from relayd.clock import SystemClock
from relayd.daemon.composing import composer
from relayd.daemon.control import ControlChannel
from relayd.daemon.in_force import prepare
from relayd.daemon.intake import Intake
from relayd.daemon.lanes import make_lanes
from relayd.daemon.services import Services, open_blobs, open_vault
from relayd.daemon.sockets import Listening
from relayd.directory.credentials import DirectoryCredentials
from relayd.dns.txt import txt_lookup
from relayd.errors import ConfigurationError
from relayd.inspection.inspector import ProcessInspector
from relayd.settings.load import Loaded
from relayd.smtp.listener import ListenerServer, listen
from relayd.smtp.service import Service
from relayd.store.client import StoreClient
from relayd.tls.contexts import ServerTls

log = structlog.get_logger("relayd.worker")

#: Made before the workers are forked, so that all of them disguise unknown accounts alike.
_DISGUISE = os.urandom(32)
#: How long sessions may finish their transaction when we stop, in seconds.
_DRAIN = 20.0
#: The same when the supervisor has died: the next one waits for our sockets and our deliveries.
_ORPHAN_DRAIN = 2.0


class Worker:
    """One worker's parts, and how they change and end."""

    def __init__(self, number: int, loaded: Loaded, channel: socket.socket) -> None:
        configuration = loaded.configuration
        clock = SystemClock()
        # A new life is a new owner: what the last one held is the supervisor's and the lease's to free.
        owner = f"w{number}-{os.urandom(4).hex()}"
        store = StoreClient(configuration.state / "store.sock")
        vault, blobs = open_vault(configuration), open_blobs(configuration, owner, clock)
        self.in_force = prepare(loaded)
        workers = configuration.workers or os.cpu_count() or 1
        self.services = Services(
            owner=owner,
            worker=self,
            store=store,
            vault=vault,
            blobs=blobs,
            clock=clock,
            random=random.SystemRandom(),
            inspector=ProcessInspector(budget=256 * 2**20 // workers),
            signatures=DkimVerifier(txt_lookup(configuration.resolver)),
            credentials=DirectoryCredentials(
                lambda: self.in_force.directory,
                store,
                lambda: self.in_force.configuration.limits.auth_failures,
                _DISGUISE,
            ),
        )
        self.lanes = make_lanes(
            self.services, composer(configuration, lambda: self.in_force.directory, vault, blobs, clock)
        )
        self.tls = ServerTls(configuration.tls)
        self.control = ControlChannel(channel, self.reload)
        self.listeners: list[tuple[Listening, ListenerServer]] = []

    async def run(self, listening: list[Listening]) -> None:
        await self.control.start()
        await self.services.store.connect()
        await self.lanes.start()
        for item in listening:
            server = listen([item.socket], self._service(item))
            self.listeners.append((item, server))
        self.control.ready()
        await self.control.stopped.wait()
        grace = _ORPHAN_DRAIN if self.control.orphaned else _DRAIN
        await asyncio.gather(*(server.drain(grace) for _, server in self.listeners))
        await self.lanes.drain()
        await self.services.inspector.close()
        await self.services.blobs.close()
        await self.services.store.close()

    async def reload(self, loaded: Loaded) -> None:
        """Swap what is in force. Sessions and deliveries in progress finish as they began."""
        try:
            fresh = prepare(loaded)
        except ConfigurationError as error:
            # The supervisor has tried the same before; only a file that changed in between ends here.
            log.error("reload refused", problems=len(error.problems))
            return
        self.in_force = fresh
        await self.lanes.reload()
        for item, server in self.listeners:
            server.service = self._service(item)

    def _service(self, item: Listening) -> Service:
        configuration = self.in_force.configuration
        return Service(
            hostname=configuration.hostname,
            settings=item.settings,
            limits=configuration.limits,
            door=partial(Intake, self.services),
            tls=self.tls.context,
        )


async def run_worker(number: int, loaded: Loaded, listening: list[Listening], channel: socket.socket) -> None:
    """Serve until told to stop."""
    await Worker(number, loaded, channel).run(listening)
