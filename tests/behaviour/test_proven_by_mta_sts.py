"""Confidential mail straight to a domain that isn't signed but has an MTA-STS policy, through the whole of relayd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit import mail, signed_dns
from tests.kit.daemon import RelayProcess
from tests.kit.pki import Pki
from tests.kit.policy_servers import PolicyServers, Sts
from tests.kit.signed_dns import SignedDns, Signing, Zone
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, say

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available()),
    pytest.mark.skipif(not signed_dns.can_bind_low_ports(), reason="ports 25 and 443 of loopback need root"),
]

#: Several runs on one machine don't meet here.
NETWORK = f"127.80.{os.getpid() % 250}"
GATE = f"{NETWORK}.250"


@dataclass
class World:
    """The installation, the server that takes mail, and the one that tells the policy."""

    site: Site
    gate: Sink
    policies: PolicyServers


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("relayd")
    site = Site(folder)
    pki = Pki(folder / "pki")
    policies = PolicyServers(pki, network=NETWORK, port=443)
    shown = site.authority.issue("gate.sts.example")
    records = [
        f"@ MX 10 gate\ngate A {GATE}\nmta-sts A {policies.add('mta-sts.sts.example', Sts(mx='gate.sts.example'))}"
    ]
    records.append('_mta-sts TXT "v=STSv1; id=1;"')
    zones = [
        Zone("sts.example", "\n".join(records), Signing.UNSIGNED),
        Zone("signed.example", ""),
        Zone("broken.example", "", Signing.BROKEN),
    ]
    both = folder / "trusted.pem"
    both.write_bytes(site.authority.certificate.read_bytes() + pki.root.chain.read_bytes())
    site.relayd["tls"]["trusted_ca"] = str(both)
    site.relayd["mta_sts"] = {"private_networks": ["127.80.0.0/16"]}
    site.relayd["dnssec"] = {"signed_name": "signed.example", "broken_name": "broken.example"}
    site.policies.insert(-2, {"policy": "verified_mx"})
    policies.start()
    with SignedDns(folder / "dns", zones) as dns, Sink(folder / "gate", shown, address=GATE, port=25) as gate:
        site.relayd["resolver"] = dns.resolver
        yield World(site, gate, policies)
        policies.stop()


def test_an_enforced_policy_proves_the_host_and_is_kept_over_a_restart(world: World) -> None:
    with RelayProcess(world.site) as relayd:
        deliver(relayd, world.gate, "first@sts.example")
        assert relayd.json("mta-sts", "sts.example")["in_force"]["mode"] == "enforce"
    world.policies.stop()
    with RelayProcess(world.site) as relayd:
        deliver(relayd, world.gate, "second@sts.example")


def deliver(relayd: RelayProcess, gate: Sink, to: str) -> None:
    """One confidential message, which must arrive with the policy's proof."""
    with relayd.submission(ANNA) as client:
        code, reply = say(client, ANNA, [to], mail.message(ANNA, [to]))
    assert code == 250, reply
    receipt = gate.wait_for_receipt(to)
    assert "proof mta-sts" in relayd.cli("message", "show", receipt.queue_id).stdout
