"""Next hops that hang, and mail for others, through the whole daemon."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.kit.matrix import Matrix
from tests.kit.peer import HANG, Peer, Script
from tests.kit.site import Site
from tests.kit.wait import wait_for
from tests.kit.ward import ward

pytestmark = pytest.mark.behaviour


async def test_next_hops_that_hang_hold_up_nobody_else(site: Site, matrix: Matrix) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.partner.certificate, site.partner.key)
    scripts = [Script(replies={verb: HANG}) for verb in ("GREETING", "EHLO", "MAIL", "DOT")]
    async with (
        Peer(scripts[0]) as a,
        Peer(scripts[1]) as b,
        Peer(scripts[2], tls=context) as c,
        Peer(scripts[3], tls=context) as d,
    ):
        for number, peer in enumerate((a, b, c, d)):
            site.domainbook[f"hanging{number}.example"] = {
                **site.domainbook["partner.example"],
                "next_hops": [f"127.0.0.1:{peer.port}"],
            }

        def send_to_all() -> None:
            with ward(site) as patient:
                hanging = [patient.send(f"b{n}@hanging{n % 4}.example") for n in range(40)]
                wait_for(lambda: all(peer.connections for peer in (a, b, c, d)), "all to be connected")
                well = [patient.send() for _ in range(20)]
                for sent in well:
                    assert patient.wait_until_final(sent) == ["received", "judged", "delivered"]
                assert all(sent.accepted for sent in hanging)
                patient.relayd.child.kill()

        await asyncio.to_thread(send_to_all)
    matrix.row(
        "Next hops",
        "everything",
        "four next hops hang, with 10 messages each",
        client_saw="250 2.0.0",
        journal_says="of 20 messages for another one: received, judged, delivered",
        recovered="not needed: a next hop has its own lane and its own connections",
    )
