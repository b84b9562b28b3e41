"""A member's mail to another provider's compliant domain: found in signed DNS, delivered with DANE, marked, signed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dkim
import pytest

from relayd.directory.nta7516 import Found, read
from tests.kit import mail, signed_dns
from tests.kit.daemon import RelayProcess
from tests.kit.signed_dns import SignedDns, Signing, Zone
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, COLLEAGUE, say

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available()),
    pytest.mark.skipif(not signed_dns.can_bind_low_ports(), reason="port 25 of loopback needs root"),
]

#: Several runs on one machine don't meet here.
GATE = f"127.78.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
RECORD = "v=NTA7516-1;startdate=2020-01;enddate=2999-12;provider=Other;ntamx=10 gate.clinic.example"


@dataclass
class World:
    """The installation, and the server that takes the other provider's mail."""

    site: Site
    gate: Sink


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    site = Site(tmp_path)
    shown = site.authority.issue("gate.clinic.example")
    hosts = f"gate A {GATE}\n_25._tcp.gate TLSA 3 1 1 {shown.pin}\n"
    zones = [
        Zone("clinic.example", f'@ TXT "{RECORD}"\n{hosts}'),
        Zone("unsigned.example", f'@ TXT "{RECORD}"\n', Signing.UNSIGNED),
        Zone("broken.example", f'@ TXT "{RECORD}"\n', Signing.BROKEN),
    ]
    with SignedDns(tmp_path / "dns", zones) as dns, Sink(tmp_path / "gate", shown, address=GATE, port=25) as gate:
        site.relayd["resolver"] = dns.resolver
        site.relayd["dnssec"] = {"signed_name": "clinic.example", "broken_name": "broken.example"}
        site.nta = {
            "own": {"praktijk": {"provider": "Relay", "start": "2020-01", "end": "2999-12"}},
            "header": {"name": "X-Way", "value": "nta; as agreed"},
        }
        yield World(site, gate)


def test_a_members_mail_goes_to_the_other_providers_gate(world: World, tmp_path: Path) -> None:
    site = world.site
    to = "zorg@clinic.example"
    content = mail.message(ANNA, [to, COLLEAGUE])
    with (
        Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site) as relayd,
    ):
        made = json.loads(relayd.cli("dkim", "create", "praktijk.example", "--activate", "--json").stdout)
        records = {one["name"]: one["text"].encode() for one in made["records"]}
        assert made["reloaded"]
        with relayd.submission(ANNA) as client:
            assert say(client, ANNA, [to, COLLEAGUE], content)[0] == 250
        receipt = world.gate.wait_for_receipt(to)
        arrived = world.gate.content(receipt)
        other = partner.content(partner.wait_for_receipt(COLLEAGUE))
        journal = relayd.cli("message", "show", receipt.queue_id).stdout
    assert b"X-Way: nta; as agreed\r\n" in arrived
    assert b"X-Way" not in other
    assert "nta:clinic.example" in journal
    assert "dane 3 1 1" in journal

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        return records.get(name.rstrip(b".").decode())

    for copy in (arrived, other):
        verifier = dkim.DKIM(copy)
        assert [verifier.verify(idx=index, dnsfunc=lookup) for index in (0, 1)] == [True, True]
        forged = b"X-Way: nta; as agreed\r\n" + copy
        assert not dkim.verify(forged, dnsfunc=lookup)


@pytest.mark.parametrize(
    ("domain", "compliant"), [("clinic.example", True), ("unsigned.example", False), ("broken.example", None)]
)
def test_check_says_what_the_daemon_does(world: World, domain: str, compliant: bool | None) -> None:
    with RelayProcess(world.site) as relayd:
        found = json.loads(relayd.cli("nta7516", "check", domain, "--json", check=False).stdout)
        assert (found["compliant"], found["direct"]) == (compliant, compliant is True)
        record = json.loads(relayd.cli("nta7516", "record", "praktijk", "--json").stdout)
        assert read([record["text"].encode()]).found is Found.ONE
