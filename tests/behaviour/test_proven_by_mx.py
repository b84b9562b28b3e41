"""Confidential mail straight to domains that prove their mail hosts in signed DNS, through the whole of relayd."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit import mail, signed_dns
from tests.kit.daemon import RelayProcess
from tests.kit.signed_dns import SignedDns, Signing, Zone
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, say
from tests.kit.wait import wait_for

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available()),
    pytest.mark.skipif(not signed_dns.can_bind_low_ports(), reason="port 25 of loopback needs root"),
]

#: Several runs on one machine don't meet here.
GATE = f"127.79.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"


@dataclass
class World:
    """The installation, and the server that stands behind every domain here."""

    site: Site
    gate: Sink
    relayd: RelayProcess


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("relayd")
    site = Site(folder)
    shown = site.authority.issue("gate.proven.example")
    host = f"@ MX 10 gate\ngate A {GATE}\n_25._tcp.gate TLSA 3 1 1 "
    zones = [
        Zone("proven.example", host + shown.pin),
        Zone("wrong.example", host + "0" * 64),
        Zone("plain.example", host + shown.pin, Signing.UNSIGNED),
        Zone("spoilt.example", host + shown.pin, spoilt=[("_25._tcp.gate", "TLSA")]),
        Zone("broken.example", host + shown.pin, Signing.BROKEN),
    ]
    with SignedDns(folder / "dns", zones) as dns, Sink(folder / "gate", shown, address=GATE, port=25) as gate:
        site.relayd["resolver"] = dns.resolver
        site.relayd["dnssec"] = {"signed_name": "proven.example", "broken_name": "broken.example"}
        site.domainbook["booked.example"] = {
            "network": "partners",
            "delivers": "relay",
            "next_hops": ["gate.proven.example:25"],
            "dane": True,
        }
        site.relayd["reports"] = {"address": "reports@praktijk.example"}
        site.policies.insert(-2, {"policy": "verified_mx"})
        with RelayProcess(site) as relayd:
            yield World(site, gate, relayd)


def send(world: World, *recipients: str) -> tuple[int, str]:
    """The code of the reply, and the message's id."""
    with world.relayd.submission(ANNA) as client:
        code, reply = say(client, ANNA, list(recipients), mail.message(ANNA, list(recipients)))
    return code, reply.split()[-1]


def journal(world: World, message: str, kind: str) -> dict[str, str]:
    """The facts of the first record of this kind."""

    def found() -> dict[str, str] | None:
        events = world.relayd.json("message", "show", message)["journal"]
        return next((event["facts"] for event in events if event["kind"] == kind), None)

    return wait_for(found, f"{kind} in the journal")


def test_a_proven_domain_gets_its_mail_and_the_journal_says_why(world: World) -> None:
    code, message = send(world, "zorg@proven.example")
    assert code == 250
    world.gate.wait_for_receipt("zorg@proven.example")
    facts = journal(world, message, "delivered")
    assert facts["proof"] == "dane 3 1 1"
    assert facts["way"] == "DANE: gate.proven.example has 1 usable TLSA record"
    assert "proof dane 3 1 1" in world.relayd.cli("message", "show", message).stdout


def test_a_next_hop_of_the_domainbook_is_proven_by_dane(world: World) -> None:
    code, message = send(world, "zorg@booked.example")
    assert code == 250
    world.gate.wait_for_receipt("zorg@booked.example")
    facts = journal(world, message, "delivered")
    assert facts["proof"] == "dane 3 1 1"
    assert "which demands DANE" in facts["way"]


def test_a_host_that_does_not_keep_what_its_domain_published_gets_nothing(world: World) -> None:
    code, message = send(world, "zorg@wrong.example")
    assert code == 250
    facts = journal(world, message, "deferred")
    assert facts["status"] == "4.7.5"
    assert "matches no usable TLSA record" in facts["reply"]
    assert not any("wrong.example" in address for one in world.gate.receipts for address in one.recipients)


def test_a_domain_that_proves_nothing_is_left_to_the_viewer(world: World) -> None:
    path = world.site.folder / "plain.eml"
    path.write_bytes(mail.message(ANNA, ["zorg@plain.example"]))
    said = world.relayd.cli(
        "explain", path, "--from", ANNA, "--account", ANNA, "--to", "zorg@plain.example", check=False
    )
    assert "nothing proves gate.plain.example: its name isn't in a secure zone" in said.stdout
    assert send(world, "zorg@plain.example")[0] == 550  # the Viewer misses a mobile number


def test_what_dns_cannot_tell_is_deferred(world: World) -> None:
    assert send(world, "zorg@spoilt.example")[0] == 451
    code, message = send(world, "zorg@proven.example", "zorg@spoilt.example")
    assert code == 250
    assert journal(world, message, "delivered")["proof"] == "dane 3 1 1"


def test_explain_says_the_same(world: World) -> None:
    path = world.site.folder / "explained.eml"
    path.write_bytes(mail.message(ANNA, ["zorg@proven.example"]))
    said = world.relayd.cli("explain", path, "--from", ANNA, "--account", ANNA, "--to", "zorg@proven.example").stdout
    assert "gate.proven.example: dane: DANE: gate.proven.example has 1 usable TLSA record" in said


def test_sessions_are_counted_for_the_daily_reports(world: World) -> None:
    world.relayd.stop()
    with sqlite3.connect(world.site.state / "relayd.db") as database:
        counted = database.execute("SELECT * FROM report_count").fetchall()
    told = [" ".join(map(str, row)) for row in counted]
    assert any("proven.example" in row for row in told)
    assert any("wrong.example" in row and "validation-failure" in row for row in told)
