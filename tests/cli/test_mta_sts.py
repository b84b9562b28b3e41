"""`relayd mta-sts`: what a policy is and asks for, forgetting it, and publishing our own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayd.cli import mta_sts as command
from relayd.cli.doctor_mta_sts import mta_sts as doctor
from relayd.cli.findings import Level
from relayd.cli.main import main
from relayd.directory.load import build
from relayd.dns.records import Answer
from relayd.mail.address import Domain
from relayd.settings.load import load
from relayd.store.sqlite import SqliteStore
from relayd.tls.mta_sts import StsFetch, StsReason, StsRecord, parse_policy, read_records
from relayd.tls.sts_cache import Kept
from relayd.tls.sts_policy import StsMode, StsPolicy
from relayd.tls.sts_publish import published
from tests.kit.configuration import FILES, write_configuration
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock

CLINIC = Domain("clinic.example")
NOW = 1_800_000_000.0
ORGANISATIONS = (
    FILES["organisations.yaml"]
    + """
            settings:
              mta_sts: {mode: testing, max_age: 7d}
            domain_settings:
              hosted.example: {mta_sts: {mode: enforce, mx: [mx1.relay.example, mx2.relay.example]}}
"""
)


class Source:
    """Says what it is told."""

    def __init__(self, record: StsRecord, fetched: StsFetch | None = None) -> None:
        self.record_is = record
        self.fetched_is = fetched

    async def record(self, domain: Domain) -> StsRecord:
        return self.record_is

    async def fetch(self, domain: Domain, identity: str) -> StsFetch:
        assert self.fetched_is is not None
        return self.fetched_is


class World:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = write_configuration(folder, organisations=ORGANISATIONS)
        self.dns = FakeDns({("clinic.example", "MX"): ["10 mx1.clinic.example", "20 other.example"]})
        self.source = Source(StsRecord(StsReason.NO_RECORD, detail="no TXT record begins with v=STSv1;"))
        self._capsys = capsys

    def keep(self, kept: Kept) -> None:
        async def keep() -> None:
            store = await SqliteStore.open(load(self.folder).configuration.state, FrozenClock(NOW))
            await store.call("sts_keep", kept=kept)
            await store.close()

        asyncio.run(keep())

    def show(self, *, as_json: bool = False) -> tuple[int, str]:
        loaded = load(self.folder)
        status = command.show(loaded, CLINIC, self.source, self.dns, FrozenClock(NOW), as_json=as_json)
        return status, self._capsys.readouterr().out

    def run(self, *words: str) -> tuple[int, str]:
        status = main(["mta-sts", *words, "--config", str(self.folder)])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def fetched(self, mode: StsMode = StsMode.ENFORCE, *mx: str) -> None:
        policy = StsPolicy(CLINIC, "a1", mode, mx or ("*.clinic.example",), 86400)
        self.source = Source(StsRecord(StsReason.FOUND, "a1"), StsFetch(StsReason.FOUND, policy))


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path / "config", capsys)


def test_what_follows_for_each_host(world: World) -> None:
    world.fetched()
    status, said = world.show()
    assert status == 0
    assert "_mta-sts.clinic.example: id a1" in said
    assert "mode: enforce; mx: *.clinic.example; max_age: 86400" in said
    assert "mx1.clinic.example: listed; its certificate must prove mx1.clinic.example under a CA" in said
    assert "other.example: not listed; nothing is sent to it" in said


def test_testing_asks_and_does_not_insist(world: World) -> None:
    world.fetched(StsMode.TESTING)
    status, said = world.show()
    assert status == 0
    assert "its certificate should prove mx1.clinic.example" in said
    assert "other.example: not listed; mail goes to it all the same" in said


@pytest.mark.parametrize("mode", [StsMode.NONE, None])
def test_no_policy_asks_nothing(world: World, mode: StsMode | None) -> None:
    if mode is not None:
        world.fetched(mode)
    status, said = world.show()
    assert status == 1
    assert said.count("MTA-STS asks nothing of it") == 2


@pytest.mark.parametrize("reason", [one for one in StsReason if one.result is not None])
def test_each_failure_has_its_name(world: World, reason: StsReason) -> None:
    if reason in (StsReason.SEVERAL_RECORDS, StsReason.RECORD_INVALID):
        world.source = Source(StsRecord(reason, detail="in words"))
    else:
        world.source = Source(StsRecord(StsReason.FOUND, "a1"), StsFetch(reason, detail="in words"))
    status, said = world.show()
    assert status == 1
    assert f"{reason} (in words)" in said
    facts = json.loads(world.show(as_json=True)[1])
    assert reason in (facts["record"]["reason"], (facts["fetched"] or {}).get("reason"))


def kept(**changes: Any) -> Kept:
    facts = {
        "domain": "clinic.example",
        "id": "old",
        "policy": "version: STSv1\r\nmode: enforce\r\nmx: mx1.clinic.example\r\nmax_age: 86400\r\n",
        "fetched_at": NOW - 3600,
        "expires_at": NOW + 82800,
        "tried_at": NOW - 60,
        "failure": "timeout",
    }
    return Kept(**(facts | changes))  # type: ignore[arg-type]


def test_what_is_kept_applies_where_no_fresh_one_can_be_had(world: World) -> None:
    world.keep(kept())
    world.source = Source(StsRecord(StsReason.FOUND, "new"), StsFetch(StsReason.CERTIFICATE_EXPIRED, detail="too old"))
    status, said = world.show()
    assert status == 0
    assert "id old, fetched 1h ago, expires in 23h, the last try, 1min ago, failed: timeout" in said
    assert "mode enforce, id old, the kept one" in said
    facts = json.loads(world.show(as_json=True)[1])
    assert facts["in_force"]["id"] == "old"
    assert facts["kept"]["live"] is True
    assert [host["listed"] for host in facts["hosts"]] == [True, False]


def test_an_expired_one_does_not(world: World) -> None:
    world.keep(kept(expires_at=NOW))
    status, said = world.show()
    assert status == 1
    assert "expired" in said
    assert "in force  no policy" in said


def test_without_a_store_the_rest_is_told(world: World) -> None:
    world.fetched()
    status, said = world.show()
    assert status == 0
    assert "kept      there is no database" in said


def test_a_domain_without_mail_hosts(world: World) -> None:
    world.dns = FakeDns({("clinic.example", "MX"): Answer.TIMEOUT})
    assert "hosts     none: timeout" in world.show()[1]


def test_purge(world: World) -> None:
    world.keep(kept())
    assert world.run("clinic.example", "--purge") == (0, "what was kept of clinic.example is forgotten\n")
    assert world.run("clinic.example", "--purge") == (1, "nothing is kept of clinic.example\n")
    assert json.loads(world.run("clinic.example", "--purge", "--json")[1])["forgotten"] is False


def test_what_to_publish(world: World) -> None:
    status, said = world.run("hosted.example", "--publish", "--json")
    assert status == 0
    facts = json.loads(said)
    (record,) = facts["records"]
    assert record["name"] == "_mta-sts.hosted.example"
    identity = read_records([record["text"].encode()]).id
    policy = parse_policy(Domain("hosted.example"), identity, "\n".join(facts["policy"]).encode())
    assert (policy.mode, policy.mx) == (StsMode.ENFORCE, ("mx1.relay.example", "mx2.relay.example"))
    assert facts["url"] == "https://mta-sts.hosted.example/.well-known/mta-sts.txt"
    status, said = world.run("hosted.example", "--publish")
    assert status == 0
    assert f'_mta-sts.hosted.example. 3600 IN TXT "v=STSv1; id={identity};"' in said
    assert "mx: mx2.relay.example\n" in said
    assert "reports.address" in said


def test_reports_have_their_record(world: World) -> None:
    relayd = world.folder / "relayd.yaml"
    relayd.write_text(relayd.read_text() + "reports: {address: tls@hosted.example}\n")
    policies = "[{policy: reports}, {policy: domainbook}]"
    (world.folder / "policies.yaml").write_text(policies)
    facts = json.loads(world.run("hosted.example", "--publish", "--json")[1])
    record = facts["records"][1]
    assert (record["name"], record["type"]) == ("_smtp._tls.hosted.example", "TXT")
    assert record["text"] == "".join(record["strings"]) == "v=TLSRPTv1; rua=mailto:tls@hosted.example"


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        ("north.example", "have no mta_sts"),
        ("south.example", "isn't a domain whose mail comes here"),
        ("elsewhere.example", "isn't a domain whose mail comes here"),
        ("no domain", "isn't a domain"),
    ],
)
def test_what_is_not_published(world: World, domain: str, says: str) -> None:
    status, said = world.run(domain, "--publish")
    assert status == 1
    assert says in said


SERVED = StsPolicy(Domain("hosted.example"), "", StsMode.ENFORCE, ("mx1.relay.example", "mx2.relay.example"), 7 * 86400)


@pytest.mark.parametrize(
    ("mx", "record", "fetched", "expected", "says"),
    [
        (["1 mx1.relay.example"], "ours", SERVED, Level.OK, "mode enforce"),
        (["1 mx1.relay.example", "9 backup.example"], "ours", SERVED, Level.BAD, "names backup.example"),
        (["1 mx1.relay.example"], None, SERVED, Level.WARN, "no-record"),
        (["1 mx1.relay.example"], "other", SERVED, Level.WARN, "another policy"),
        (["1 mx1.relay.example"], "ours", StsReason.CERTIFICATE_NAME, Level.BAD, "certificate-name"),
        (["1 mx1.relay.example"], "ours", replace(SERVED, mode=StsMode.NONE), Level.BAD, "another policy is served"),
    ],
)
def test_doctor_compares_what_others_see(
    world: World, mx: list[str], record: str | None, fetched: Any, expected: Level, says: str
) -> None:
    directory = build(load(world.folder))
    policy = published(directory, "relay.example", Domain("hosted.example"))
    assert policy is not None
    identity = policy.id if record == "ours" else "other"
    seen = StsRecord(StsReason.FOUND, identity) if record else StsRecord(StsReason.NO_RECORD)
    answer = StsFetch(fetched) if isinstance(fetched, StsReason) else StsFetch(StsReason.FOUND, fetched)
    if isinstance(fetched, StsPolicy):
        answer = StsFetch(StsReason.FOUND, replace(fetched, max_age=policy.max_age))
    dns = FakeDns({("hosted.example", "MX"): mx})
    (finding,) = asyncio.run(doctor(directory, "relay.example", dns, Source(seen, answer)))
    assert finding.level is expected
    assert says in finding.text
