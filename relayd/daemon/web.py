"""The web process: the Viewer behind uvicorn."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final

import structlog
import uvicorn

from relayd.clock import SystemClock
from relayd.daemon.control import ControlChannel
from relayd.daemon.in_force import InForce, prepare
from relayd.daemon.inside import Inside
from relayd.daemon.services import open_blobs, open_vault
from relayd.daemon.serving import serve_until_stopped
from relayd.daemon.sockets import Listening, split_address
from relayd.daemon.viewer_addresses import ViewerAddresses
from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.routes import build_ways
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.resolver import DnsResolver
from relayd.errors import ConfigurationError
from relayd.inspection.inspector import ProcessInspector
from relayd.pipeline.policy import Context
from relayd.queue.composer import Composer
from relayd.rendering.renderer import ProcessRenderer
from relayd.settings.load import Loaded
from relayd.settings.models import TlsSettings, ViewerSettings
from relayd.settings.values import address_and_port
from relayd.sms import make_sender
from relayd.store.client import StoreClient
from relayd.store.viewer_sms import SmsLedger
from relayd.tls.contexts import ServerTls
from relayd.tls.sts_cache import KeptStsPolicies
from relayd.tls.sts_fetch import sts_source
from viewer_web.app import create_app
from viewer_web.services import Services

log = structlog.get_logger("relayd.web")

#: Octets of decoded attachments of readers' answers in inspection at once.
_INSPECTION_BUDGET: Final = 128 * 2**20
_MAPPED: Final = int(IPv6Address("::ffff:0:0"))


async def run_web(loaded: Loaded, _listening: list[Listening], channel: socket.socket) -> None:
    """Serve the Viewer until told to stop."""
    configuration = loaded.configuration
    in_force = prepare(loaded)
    clock = SystemClock()

    async def reload(fresh: Loaded) -> None:
        nonlocal in_force
        try:
            in_force = prepare(fresh)
        except ConfigurationError as error:
            log.error("reload refused", problems=len(error.problems))

    control = ControlChannel(channel, reload)
    await control.start()
    store = StoreClient(configuration.state / "store.sock")
    vault, blobs = open_vault(configuration), open_blobs(configuration, "web", clock)
    resolver = DnsResolver(*address_and_port(configuration.resolver))
    renderer = ProcessRenderer()
    inspector = ProcessInspector(budget=_INSPECTION_BUDGET)
    nta, addresses = NtaDns(resolver), ViewerAddresses(store, vault, clock)
    policies = KeptStsPolicies(sts_source(configuration, resolver), store, clock)

    def context(judging: InForce) -> Context:
        ways = build_ways(
            judging.configuration,
            judging.directory,
            resolver,
            clock,
            policies=policies,
            nta_hosts=nta_hosts(resolver, clock),
        )
        return Context(judging.directory, store, inspector, clock, nta=nta, ways=ways, viewer=addresses)

    sms = make_sender(configuration, SmsLedger(store), clock)
    services = Services(
        configuration=configuration,
        store=store,
        vault=vault,
        blobs=blobs,
        directory=lambda: in_force.directory,
        composer=Composer(
            vault, blobs, lambda: in_force.directory, clock, configuration.retention.days, lambda: in_force.signers
        ),
        sms=sms,
        outgoing=Inside(lambda: in_force, context, store, vault, blobs, clock),
        limits=store,
        clock=clock,
        signing=lambda: in_force.signers,
        renderer=renderer,
    )
    await sms.open()
    viewer = configuration.viewer
    host, port = split_address(viewer.address)
    await serve_until_stopped(
        control,
        uvicorn.Config(
            create_app(services),
            host=host,
            port=port,
            loop="none",
            lifespan="on",
            access_log=False,  # Paths hold link tokens; the app writes its own lines.
            log_config=None,
            server_header=False,
            proxy_headers=bool(viewer.trusted_proxies),
            forwarded_allow_ips=trusted_hosts(viewer.trusted_proxies),
            ssl_context_factory=_https(viewer),
        ),
    )
    await sms.close()
    await policies.close()
    await renderer.close()
    await inspector.close()
    await blobs.close()
    await store.close()


def trusted_hosts(networks: Iterable[IPv4Network | IPv6Network]) -> list[str]:
    """The networks as uvicorn takes them. Those of IPv4 stand there as a listener on [::] sees them too
    (RFC 4291 §2.5.5.2): otherwise everybody behind such a proxy would be one client, the proxy."""
    return [
        str(one)
        for network in networks
        for one in (
            (network, IPv6Network((_MAPPED + int(network.network_address), 96 + network.prefixlen)))
            if isinstance(network, IPv4Network)
            else (network,)
        )
    ]


def _https(viewer: ViewerSettings) -> Callable[..., ssl.SSLContext] | None:
    """The Viewer's own certificate, under the same TLS as mail, read again when it changes; None behind a proxy."""
    if viewer.certificate is None or viewer.key is None:
        return None
    tls = ServerTls(TlsSettings(certificate=viewer.certificate, key=viewer.key))
    first = tls.context()

    def renewed(connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        connection.context = tls.context()

    # uvicorn has one context for its life; the certificate in force is chosen at each handshake.
    first.sni_callback = renewed
    return lambda *_: first
