"""A member's mail to another provider's compliant domain: found in signed DNS, delivered with DANE, marked, signed."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.authenticity.dkim_sign import BodyHash, Signer
from relayd.directory.nta7516 import Found, read
from tests.kit import mail, signed_dns
from tests.kit.daemon import RelayProcess
from tests.kit.signed_dns import SignedDns, Signing, Zone
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, COLLEAGUE, say
from tests.kit.wait import wait_for

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available()),
    pytest.mark.skipif(not signed_dns.can_bind_low_ports(), reason="port 25 of loopback needs root"),
]

#: Several runs on one machine don't meet here.
GATE = f"127.78.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
#: What the other provider's domain publishes so that its mail from this machine passes every check.
SENDS = f"""@ TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc TXT "v=DMARC1; p=reject"
s._domainkey TXT "v=DKIM1; k=ed25519; p={PUBLIC}"
"""
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
        Zone("clinic.example", f'@ TXT "{RECORD}"\n{hosts}{SENDS}'),
        Zone("unsigned.example", f'@ TXT "{RECORD}"\n{SENDS}', Signing.UNSIGNED),
        Zone("broken.example", f'@ TXT "{RECORD}"\n', Signing.BROKEN),
    ]
    with SignedDns(tmp_path / "dns", zones) as dns, Sink(tmp_path / "gate", shown, address=GATE, port=25) as gate:
        site.relayd["resolver"] = dns.resolver
        site.relayd["dnssec"] = {"signed_name": "clinic.example", "broken_name": "broken.example"}
        site.policies.insert(1, {"policy": "nta7516_received"})
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
        assert read([record["records"][0]["text"].encode()]).found is Found.ONE


def written(domain: str, *, signed: bool) -> bytes:
    """Mail of another provider's member, with the header that says so."""
    sender = f"zorg@{domain}"
    content = mail.message(sender, [ANNA], headers={"X-Way": "nta; as agreed"})
    if not signed:
        return content
    head, _, body = content.partition(b"\r\n\r\n")
    hashed = BodyHash()
    hashed.feed(body)
    return Signer(domain, "s", KEY).sign(head + b"\r\n", hashed.digest(), time.time()) + content


@pytest.mark.parametrize(
    ("domain", "signed", "verdict"),
    [
        ("clinic.example", True, "NTA 7516 receive checks: compliant"),
        ("clinic.example", False, "NTA 7516 receive checks: not compliant: dkim"),
        ("unsigned.example", True, "NTA 7516 receive checks: not compliant: record"),
    ],
)
def test_the_header_of_a_strangers_message_is_believed_when_all_holds(
    world: World, domain: str, signed: bool, verdict: str
) -> None:
    new = world.site.mailbox(ANNA) / "new"
    with RelayProcess(world.site) as relayd:
        with relayd.stranger() as client:
            code, text = say(client, f"zorg@{domain}", [ANNA], written(domain, signed=signed))
        assert code == 250, text
        (arrived,) = wait_for(lambda: list(new.glob("*")) if new.exists() else None, "the mail in the mailbox")
        journal = relayd.cli("message", "show", text.split()[-1]).stdout
        assert verdict in journal
        assert (b"\nX-Way: nta; as agreed" in arrived.read_bytes()) == verdict.endswith(": compliant")
