"""`relayd dkim`: a domain's keys from the first to the next, with a clock and a DNS of the test's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from relayd.cli import dkim as command
from relayd.cli.doctor_dkim import dkim as examine
from relayd.cli.findings import Level
from relayd.cli.main import main
from relayd.settings.load import load
from relayd.vault.keyring import FILE, generate
from tests.kit.configuration import write_configuration
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock

DAY = 86400.0
START = 1_800_000_000.0  # 15 January 2027
NAMES = ("20270115-rsa._domainkey.south.example", "20270115-ed25519._domainkey.south.example")


class World:
    """One installation, its DNS and its time."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = write_configuration(folder)
        generate(folder / "keys")
        self.dns = FakeDns()
        self.clock = FrozenClock(START)
        self._capsys = capsys

    def dkim(self, *words: str) -> tuple[int, str]:
        status = main(["dkim", *words, "--config", str(self.folder)])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def json(self, *words: str) -> tuple[int, Any]:
        status, text = self.dkim(*words, "--json")
        return status, json.loads(text)

    def publish(self, facts: dict[str, Any]) -> None:
        self.dns.zone |= {(one["name"], "TXT"): ["".join(one["strings"])] for one in facts["records"]}

    def doctor(self) -> list[tuple[Level, str]]:
        found = asyncio.run(examine(load(self.folder).configuration, self.dns, self.clock.now()))
        return [(one.level, one.text) for one in found]


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, capsys)
    monkeypatch.setattr(command, "DnsResolver", lambda *_: world.dns)
    monkeypatch.setattr(command, "SystemClock", lambda: world.clock)
    return world


def test_the_first_keys_are_printed_for_dns_and_signed_with_once_it_shows_them(world: World) -> None:
    status, text = world.dkim("create", "south.example")
    assert status == 0
    for name in NAMES:
        assert f'{name}. 3600 IN TXT "v=DKIM1; k=' in text
    assert "Then: relayd dkim activate south.example" in text

    status, text = world.dkim("activate", "south.example")
    assert (status, text.count("there is no such record")) == (1, 2)

    _, shown = world.json("show", "south.example")
    (keys,) = shown["south.example"]
    assert (keys["state"], [one["dns"] for one in keys["records"]]) == ("waiting", ["missing", "missing"])
    world.publish(keys)
    status, activated = world.json("activate", "south.example")
    assert (status, activated["activated"], activated["state"]) == (0, True, "signing")
    assert world.dkim("show") == (0, world.dkim("show", "south.example")[1])


def test_activate_at_once_asks_nobody(world: World) -> None:
    status, facts = world.json("create", "south.example", "--activate", "--selector", "first")
    assert (status, facts["state"], facts["selector"], facts["reloaded"]) == (0, "signing", "first", None)
    assert world.dns.asked == []


def test_a_rotation_from_day_to_day(world: World) -> None:
    _, old = world.json("create", "south.example", "--activate")
    world.publish(old)
    world.clock.at += 365 * DAY
    _, new = world.json("rotate", "south.example")
    assert new["selector"] == "20280115"
    assert (world.doctor())[0] == (
        Level.WARN,
        "south.example: publish the records of 20280115, then: relayd dkim activate south.example",
    )
    world.publish(new)
    assert (world.doctor())[0][1] == "south.example: DNS shows 20280115; relayd dkim activate south.example"
    assert world.dkim("activate", "south.example")[0] == 0

    _, text = world.dkim("show", "south.example")
    assert "20270115: signed until 2028-01-15; stays in DNS until 2028-01-29" in text
    assert (world.doctor())[0] == (Level.OK, "south.example is signed with 20280115, as DNS shows")
    del world.dns.zone[NAMES[0], "TXT"]
    assert (world.doctor())[0][1] == f"south.example: {NAMES[0]} is needed in DNS until 2028-01-29"

    world.clock.at += 14 * DAY
    status, text = world.dkim("show", "south.example")
    assert status == 1
    assert f"→ remove {NAMES[1]} from DNS" in text
    del world.dns.zone[NAMES[1], "TXT"]
    assert world.dkim("show", "south.example")[0] == 0


def test_doctor_sees_what_dns_has_that_we_have_not(world: World) -> None:
    _, facts = world.json("create", "south.example", "--activate")
    assert {text for _, text in world.doctor()} == {
        *(f"south.example: {name}: there is no such record, and it signs" for name in NAMES),
        "notifications and reports come from relay.example, which no key signs for; relayd dkim create relay.example",
    }
    world.publish(facts)
    world.dns.zone[NAMES[0], "TXT"] = ["v=DKIM1; p=AQID"]
    found = world.doctor()
    assert found[0] == (Level.WARN, f"south.example: {NAMES[0]}: it holds another key, and it signs")
    (world.folder / "keys" / FILE).unlink()
    assert [level for level, _ in world.doctor()] == [Level.BAD, Level.WARN]


def test_the_domain_of_notices_is_no_organisations_and_may_have_keys(world: World) -> None:
    _, facts = world.json("create", "relay.example", "--activate")
    world.publish(facts)
    assert world.doctor() == [(Level.OK, "relay.example is signed with 20270115, as DNS shows")]


def test_reports_on_tls_get_keys_of_their_service_type(world: World) -> None:
    text = (world.folder / "relayd.yaml").read_text()
    (world.folder / "relayd.yaml").write_text(f"{text}reports: {{address: reports@reports.example}}\n")
    for domain, service in (("reports.example", "*"), ("relay.example", "email"), ("south.example", "email")):
        _, facts = world.json("create", domain)
        assert all(f"; s={service}; " in one["text"] for one in facts["records"]), domain


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("create", "soth.example"), 'soth.example is no organisation\'s domain; did you mean "south.example"?'),
        (("create", "a b"), "a b isn't a domain"),
        (("create", "north.example"), "north.example has keys; relayd dkim rotate north.example"),
        (("create", "south.example", "--selector", "a b"), "a selector is made of"),
        (("rotate", "south.example"), "south.example has no keys yet; relayd dkim create south.example"),
        (("rotate", "north.example"), "keys 20270115 of north.example wait to be signed with already"),
        (("activate", "south.example"), "no keys of south.example wait to be signed with"),
    ],
)
def test_a_step_that_cannot_be_is_refused(world: World, words: tuple[str, ...], says: str) -> None:
    world.dkim("create", "north.example")
    status, text = world.dkim(*words)
    assert status == 1
    assert says in text


def test_without_a_root_key_nothing_is_made(world: World) -> None:
    (world.folder / "keys" / FILE).unlink()
    status, text = world.dkim("create", "south.example")
    assert (status, "relayd keys generate" in text) == (1, True)
    assert not (world.folder / "keys" / "dkim").exists()
