"""Every kind of receiving side, with real DNS, real Postfix and real web servers: what becomes of a message for it.

Each row is delivered by the same parts that a worker has, and Postfix's own DANE client, posttls-finger, must say the
same of its first host as ``relayd dial`` does. docs/transport.md is made of what was seen.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relayd.cli.dial import dial
from relayd.clock import SystemClock
from relayd.delivery.pool import Pool
from relayd.delivery.relay import RelayRoute
from relayd.delivery.ways import NoWay, Ways
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.dns.records import Validation
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import Domain
from relayd.mail.meta import MessageMeta
from relayd.queue.outcome import Outcome
from relayd.settings.load import Loaded
from relayd.settings.models import NoticeSettings
from relayd.settings.values import address_and_port
from relayd.tls.contexts import ClientTls
from relayd.tls.sts_cache import Kept, KeptStsPolicies
from relayd.tls.sts_fetch import HttpsStsSource
from tests.kit import postfix, signed_dns
from tests.kit.jobs import make_delivery, make_job, make_message
from tests.transport.rows import DELIVERED, ROWS, Row
from tests.transport.world import World

PAGE = Path(__file__).parents[2] / "docs" / "transport.md"
_MISSING = postfix.available() or signed_dns.available()
pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(_MISSING), reason=_MISSING),
    pytest.mark.skipif(not signed_dns.can_bind_low_ports(), reason="ports 25 and 53 of loopback need root"),
    pytest.mark.skipif(not signed_dns.can_have_its_own_resolv_conf(), reason="posttls-finger needs a mount namespace"),
]


class MemoryShelf:
    """Where MTA-STS policies are kept here."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    async def call(self, operation: str, **arguments: Any) -> Any:
        if operation == "sts_keep":
            kept: Kept = arguments["kept"]
            self._kept[kept.domain] = kept
            return None
        return self._kept.get(arguments["domain"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # The addresses and ports are fixed: another run on this machine waits for its turn.
    with (Path(tempfile.gettempdir()) / "relayd-tests-transport.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        world = World(tmp_path_factory.mktemp("world"), ROWS)
        yield world
        world.stop()


@pytest.fixture(scope="module")
def seen() -> dict[str, tuple[str, ...]]:
    """What each row came to, for the page."""
    return {}


@asynccontextmanager
async def ways_out(world: World, row: Row) -> AsyncIterator[tuple[Ways, DnsResolver]]:
    """What a worker decides by."""
    trusted = world.receivers.web.root.chain
    resolver = DnsResolver(*address_and_port(world.dns.resolver))
    resolver.validation = Validation.ON
    source = HttpsStsSource(resolver, trusted, [ip_network("127.0.0.0/8")], port=world.policy_servers.port)
    policies = KeptStsPolicies(source, MemoryShelf(), SystemClock())

    async def nta_hosts(_: Domain) -> tuple[str, ...] | NoWay:
        return tuple(world.hosts(row))

    ways = Ways(
        Directory({}, _domainbook(world, row), {}, {}, {}), resolver, NoticeSettings(), "relay.example",
        policies=policies, nta_hosts=nta_hosts,
    )  # fmt: skip
    yield ways, resolver
    await policies.close()


async def deliver(world: World, row: Row, ways: Ways, resolver: DnsResolver) -> Outcome:
    """One message of this row's class to its domain."""
    contexts = ClientTls(world.receivers.web.root.chain)
    route = RelayRoute(ways, Pool("relay.example", contexts, resolver, per_hop=1, total=2, idle=1))
    delivery = make_delivery(
        recipient=f"someone@{world.domain(row)}", target=target(world, row), message_class=row.message_class
    )
    meta = MessageMeta(head_length=0, tls_optional=row.tls_optional)
    try:
        job = make_job(delivery, message=make_message(require_tls=row.require_tls), meta=meta)
        return (await route.deliver(job))[0]
    finally:
        await route.close()


async def dialled(world: World, row: Row, ways: Ways, resolver: DnsResolver) -> str:
    """What ``relayd dial`` says of the first host, in posttls-finger's words."""
    configuration = SimpleNamespace(
        tls=SimpleNamespace(trusted_ca=world.receivers.web.root.chain), hostname="relay.example"
    )
    loaded = cast("Loaded", SimpleNamespace(configuration=configuration))
    found = await dial(Domain(world.domain(row)), target(world, row), None, loaded, resolver, ways)
    if not found.calls or found.calls[0][0].demand is None:
        return "Untrusted"  # it isn't connected to
    calls = found.calls[0][1]
    if "offers none" in calls[0].reply:
        return "no TLS"
    proof = calls[0].tls.proof if calls[0].tls else ""
    return "Verified" if proof.startswith("dane") else "Untrusted"


def target(world: World, row: Row) -> str:
    """What the route of a copy for this row's domain names."""
    domain = world.domain(row)
    return f"nta:{domain}" if row.nta else domain if row.book else ""


def _domainbook(world: World, row: Row) -> dict[Domain, DomainEntry]:
    if not row.book:
        return {}
    domain = Domain(world.domain(row))
    facts: dict[str, Any] = {"next_hops": tuple(f"{host}:25" for host in world.hosts(row))}
    if row.book == "pin":
        issued = world.receivers["self-signed"].issued
        assert issued is not None
        facts["pins"] = (issued.tlsa(3, 1, 1).split()[-1],)
    if row.book == "dane":
        facts["dane"] = True
    return {domain: DomainEntry(domain, Delivers.RELAY, **facts)}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
async def test_what_becomes_of_it(world: World, row: Row, seen: dict[str, tuple[str, ...]]) -> None:
    async with ways_out(world, row) as (ways, resolver):
        outcome = await deliver(world, row, ways, resolver)
        dials = await dialled(world, row, ways, resolver)
    proof = outcome.tls.proof if outcome.tls else ""
    assert (outcome.result.value, outcome.status[: len(row.status)]) == (row.result, row.status), outcome.reply
    assert proof.startswith(row.proof) if row.proof else not proof.startswith(("dane", "mta-sts", "ca", "pin")), proof
    said = "not asked"
    if row.finger is not None:
        said = await asyncio.to_thread(world.finger, row) or "no TLS"
        assert said == (row.finger or "no TLS")
        if row.stricter:
            assert (said, dials) == ("Verified", "Untrusted")
            said = "Verified: relayd is stricter"
        elif row.sts is None or said == "Verified":
            assert dials == said
    how = f"TLS, {proof or 'nothing proven'}" if row.result == DELIVERED else outcome.reply
    seen[row.name] = (row.source, row.result, outcome.status, _plain(how, world, row), said)


def test_names_differ() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_page_is_what_was_seen(seen: dict[str, tuple[str, ...]]) -> None:
    if len(seen) < len(ROWS):
        pytest.skip("not all rows ran")
    lines = [
        "# Which ways are secure, seen",
        "",
        "Made by `tests/transport`: real DNS (nsd, unbound), Postfix as receiver, web servers for MTA-STS. Each row",
        "was seen in the last run. The last column is what Postfix's own DANE client, `posttls-finger -l dane`, says",
        "of the first host of the same domain.",
        "",
        "| published and shown | source | outcome | status | proof, or the reason in words | posttls-finger |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {row.name} | {' | '.join(seen[row.name])} |" for row in ROWS]
    made = "\n".join(lines) + "\n"
    differs = not PAGE.exists() or PAGE.read_text("utf-8") != made
    PAGE.write_text(made, "utf-8")
    assert not (differs and os.environ.get("CI")), f"{PAGE} was not what this run saw; commit it"


def _plain(text: str, world: World, row: Row) -> str:
    """``text`` without what differs from run to run, and with names that speak."""
    text = text.replace(world.domain(row), "DOMAIN").replace("|", "/")
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", re.sub(r"\b\d{4}-\d\d-\d\d\b", "DATE", text))
    return functools.reduce(lambda t, host: t.replace(host, "HOST"), world.hosts(row), text)
