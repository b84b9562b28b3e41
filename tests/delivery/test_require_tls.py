"""REQUIRETLS on the way out: passed on to proven peers that know it, and nobody else (RFC 8689 §4.2.1, §5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from relayd.delivery.client import Hop
from relayd.delivery.pool import Pool
from relayd.delivery.relay import RelayRoute
from relayd.delivery.require_tls import wishes_of
from relayd.dns.resolver import DnsResolver
from relayd.mail.meta import MessageMeta
from relayd.queue.outcome import Outcome, Result
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import NO_WISHES, Security, TlsDemand, Wishes
from tests.kit.jobs import make_job, make_message
from tests.kit.peer import Peer, Script, server_context
from tests.kit.ports import free_port

PLAIN = ("PIPELINING", "DSN")
KNOWS = (*PLAIN, "REQUIRETLS")


class Hops:
    """Ways that are these peers, whatever is asked; ``wishes`` is what was."""

    def __init__(self, ca_file: Path, ports: list[int], security: Security) -> None:
        demand = TlsDemand(security, ("peer.example",), ca_file=str(ca_file))
        self.hops = tuple(Hop("127.0.0.1", port, demand) for port in ports)
        self.wishes = NO_WISHES

    async def to(self, target: str, domain: str, message_class: str, wishes: Wishes = NO_WISHES) -> tuple[Hop, ...]:
        self.wishes = wishes
        return self.hops


async def send(ca_file: Path, *ports: int, security: Security = Security.VERIFIED, **message: Any) -> list[Outcome]:
    resolver = DnsResolver()
    pool = Pool("relay.example", ClientTls(), resolver, per_hop=2, total=5, idle=5.0)
    ways = Hops(ca_file, list(ports), security)
    route = RelayRoute(ways, pool)  # type: ignore[arg-type]
    try:
        return await route.deliver(make_job(message=make_message(**({"require_tls": True} | message))))
    finally:
        await route.close()


def summary(outcomes: list[Outcome]) -> list[tuple[Result, str]]:
    return [(outcome.result, outcome.status) for outcome in outcomes]


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_proven_peer_that_offers_it_gets_it(ca: trustme.CA, ca_file: Path, pipelining: bool) -> None:
    offers = KNOWS if pipelining else ("REQUIRETLS",)
    async with Peer(Script(extensions=offers), tls=server_context(ca)) as peer:
        outcomes = await send(ca_file, peer.port)
    assert outcomes[0].result in (Result.DELIVERED, Result.RELAYED)
    assert peer.received[0].mail.endswith(" REQUIRETLS")


async def test_nothing_is_made_up_for_other_mail(ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=KNOWS), tls=server_context(ca)) as peer:
        await send(ca_file, peer.port, require_tls=False)
    assert "REQUIRETLS" not in peer.received[0].mail


async def test_a_peer_that_does_not_know_it_is_never_given_the_message(ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=PLAIN), tls=server_context(ca)) as peer:
        outcomes = await send(ca_file, peer.port)
    assert summary(outcomes) == [(Result.FAILED, "5.7.30")]
    assert peer.received == []
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_the_next_host_is_tried(ca: trustme.CA, ca_file: Path) -> None:
    async with (
        Peer(Script(extensions=PLAIN), tls=server_context(ca)) as first,
        Peer(Script(extensions=KNOWS), tls=server_context(ca)) as second,
    ):
        outcomes = await send(ca_file, first.port, second.port)
    assert outcomes[0].result is Result.DELIVERED
    assert (len(first.received), len(second.received)) == (0, 1)


async def test_offering_it_before_tls_only_is_not_offering_it(ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=KNOWS, starttls=False), tls=server_context(ca)) as peer:
        outcomes = await send(ca_file, peer.port)
    assert summary(outcomes) == [(Result.FAILED, "5.7.10")]
    assert peer.received == []


@pytest.mark.parametrize("security", [Security.ENCRYPTED, Security.OFFERED])
async def test_a_way_that_is_not_proven_is_none(security: Security, ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=KNOWS), tls=server_context(ca)) as peer:
        outcomes = await send(ca_file, peer.port, security=security)
    assert summary(outcomes) == [(Result.FAILED, "5.7.10")]
    assert peer.received == []


@pytest.mark.parametrize("knows_first", [True, False])
async def test_a_host_that_may_be_back_makes_it_wait(knows_first: bool, ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=PLAIN), tls=server_context(ca)) as peer:
        ports = [free_port(), peer.port] if knows_first else [peer.port, free_port()]
        outcomes = await send(ca_file, *ports)
    assert summary(outcomes) == [(Result.DEFERRED, "4.4.1")]


async def test_a_certificate_that_proves_nothing_makes_it_wait(ca: trustme.CA, ca_file: Path) -> None:
    async with Peer(Script(extensions=KNOWS), tls=server_context(ca, "other.example")) as peer:
        outcomes = await send(ca_file, peer.port)
    assert summary(outcomes) == [(Result.DEFERRED, "4.7.5")]


@pytest.mark.parametrize(("offers", "tagged"), [(PLAIN, False), (KNOWS, True)])
async def test_a_report_is_not_lost_for_want_of_it(
    offers: tuple[str, ...], tagged: bool, ca: trustme.CA, ca_file: Path
) -> None:
    """RFC 8689 §5: sent with it where that is possible."""
    async with Peer(Script(extensions=offers), tls=server_context(ca)) as peer:
        outcomes = await send(ca_file, peer.port, sender="")
    assert outcomes[0].result is Result.DELIVERED
    assert peer.received[0].mail.startswith("MAIL FROM:<>")
    assert peer.received[0].mail.endswith(" REQUIRETLS") is tagged


@pytest.mark.parametrize(
    ("require_tls", "sender", "header", "expected"),
    [
        (False, "a@x.example", False, NO_WISHES),
        (True, "a@x.example", False, Wishes(require_tls=True)),
        (False, "a@x.example", True, Wishes(tls_optional=True)),
        (True, "a@x.example", True, Wishes(require_tls=True)),
        (True, "", False, NO_WISHES),
        (True, "", True, NO_WISHES),
    ],
)
def test_what_the_sender_asks_of_the_way(require_tls: bool, sender: str, header: bool, expected: Wishes) -> None:
    message = make_message(require_tls=require_tls, sender=sender)
    assert wishes_of(make_job(message=message, meta=MessageMeta(1, tls_optional=header))) == expected
