"""`relayd nta7516`: what to publish, and what follows from what others publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relayd.cli import nta7516 as command
from relayd.cli.main import main
from relayd.directory.nta7516 import Found, read
from relayd.dns.records import Answer
from tests.kit.configuration import write_configuration
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock

REGISTER = """
    own:
      north: {provider: Relay, start: 2026-03, end: 2027-02, ntamx: [a.relay.example, b.relay.example]}
    others:
      denied.example: {allow: false, reason: Forwards}
      allowed.example: {allow: true, reason: Agreed, hosts: ["mx.allowed.example:26"]}
      ended.example: {allow: false, reason: Forwards, until: 2026-01-01}
"""
CURRENT = "v=NTA7516-1;startdate=2026-01;enddate=2027-12;provider=x"
TLSA = "3 1 1 " + "ab" * 32
#: 15 January 2027
NOW = 1_800_000_000.0


class World:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = write_configuration(folder, nta7516=REGISTER)
        self.clock = FrozenClock(NOW)
        self.dns = FakeDns(
            {
                ("clinic.example", "TXT"): ["v=spf1 -all", CURRENT + ";ntamx=10 mx.clinic.example;ntamx=20 192.0.2.1"],
                ("mx.clinic.example", "A"): ["192.0.2.1"],
                ("_25._tcp.mx.clinic.example", "TLSA"): [TLSA],
                ("bymx.example", "TXT"): [CURRENT],
                ("bymx.example", "MX"): ["10 mx.clinic.example"],
                ("nodane.example", "TXT"): [CURRENT],
                ("nodane.example", "MX"): ["10 mx.nodane.example"],
                ("mx.nodane.example", "A"): ["192.0.2.2"],
                ("unsigned.org", "TXT"): [CURRENT],
                ("forged.example", "TXT"): Answer.BOGUS,
                ("old.example", "TXT"): ["v=NTA7516;version:2019-06"],
                ("denied.example", "TXT"): [CURRENT],
                ("ended.example", "TXT"): [CURRENT],
                ("ended.example", "MX"): ["10 mx.clinic.example"],
                ("north.example", "TXT"): [CURRENT],
            },
            secure=["example"],
        )
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str]:
        status = main(["nta7516", *words, "--config", str(self.folder)])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def json(self, *words: str) -> tuple[int, Any]:
        status, text = self.run(*words, "--json")
        return status, json.loads(text)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, capsys)
    monkeypatch.setattr(command, "SelfTestingResolver", lambda *_: world.dns)
    monkeypatch.setattr(command, "SystemClock", lambda: world.clock)
    return world


def test_the_record_to_publish(world: World) -> None:
    status, text = world.run("record", "north")
    assert status == 0
    line = text.splitlines()[0]
    assert line == (
        'north.example. 3600 IN TXT "v=NTA7516-1;startdate=2026-03;enddate=2027-02;provider=Relay'
        ';ntamx=10 a.relay.example;ntamx=20 b.relay.example"'
    )
    _, facts = world.json("record", "north")
    (record,) = facts["records"]
    assert read(["".join(record["strings"]).encode()]).found is Found.ONE
    assert (record["name"], record["type"], facts["valid_today"]) == ("north.example", "TXT", True)


def test_a_record_that_ended_is_printed_with_a_word_of_it(world: World) -> None:
    world.clock.at += 60 * 86400
    status, text = world.run("record", "north")
    assert (status, "That isn't today" in text) == (1, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("record", "nort"), 'there is no organisation nort; did you mean "north"?'),
        (("record", "south"), "south isn't under own: in nta7516.yaml"),
        (("check", "a b"), "a b isn't a domain"),
    ],
)
def test_mistakes_are_named(world: World, words: tuple[str, ...], says: str) -> None:
    status, text = world.run(*words)
    assert (status, says in text) == (1, True)


@pytest.mark.parametrize(
    ("domain", "compliant", "hosts", "follows"),
    [
        ("clinic.example", True, {"mx.clinic.example": True}, "mail of north goes to clinic.example directly"),
        ("bymx.example", True, {"mx.clinic.example": True}, "directly"),
        ("ended.example", True, {"mx.clinic.example": True}, "directly"),
        ("allowed.example", True, {"mx.allowed.example": True}, "directly"),
        ("nodane.example", True, {"mx.nodane.example": False}, "no host of nodane.example can be proven"),
        ("unsigned.org", False, {}, "usually it is the Viewer's"),
        ("old.example", False, {}, "usually it is the Viewer's"),
        ("absent.example", False, {}, "usually it is the Viewer's"),
        ("denied.example", False, {}, "usually it is the Viewer's"),
        ("forged.example", None, {}, "waits, and is neither sent there nor to the Viewer"),
        ("north.example", True, {"north.example": False}, "goes where the domainbook says: mx.north.example:25"),
    ],
)
def test_what_is_found_and_what_follows(
    world: World, domain: str, compliant: bool | None, hosts: dict[str, bool], follows: str
) -> None:
    status, facts = world.json("check", domain)
    assert facts["compliant"] is compliant
    assert {one["host"]: one["usable"] for one in facts["hosts"]} == hosts
    assert follows in facts["follows"]
    assert status == (0 if "directly" in follows else 1)


def test_it_reads_from_top_to_bottom(world: World) -> None:
    _, text = world.run("check", "clinic.example")
    assert text.splitlines() == [
        "DNS: an NTA 7516 record, valid from 2026-01-01 to 2027-12-31",
        f"     {CURRENT};ntamx=10 mx.clinic.example (signed with DNSSEC)",
        "     1 of its ntamx hosts can't be used and are passed over",
        "compliant: yes: clinic.example publishes an NTA 7516 record, valid from 2026-01-01 to 2027-12-31, "
        "signed with DNSSEC",
        "host mx.clinic.example:25: usable: clinic.example is reached as NTA 7516 says, which demands DANE of "
        "mx.clinic.example",
        "→ mail of north goes to clinic.example directly, by NTA 7516; everyone else's does not",
    ]


def test_what_strangers_publish_steers_no_terminal(world: World) -> None:
    world.dns.zone["evil.example", "TXT"] = [CURRENT.replace("provider=x", "provider=\u202ex\u009b31m")]
    _, text = world.run("check", "evil.example")
    assert all(character.isprintable() or character == "\n" for character in text)
