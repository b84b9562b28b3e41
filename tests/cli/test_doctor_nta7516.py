"""`relayd doctor` on NTA 7516: entries that end, and what DNS shows of them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from relayd.cli.doctor_nta7516 import nta7516
from relayd.cli.findings import Level
from relayd.directory.directory import Directory, NtaProvider, Organisation
from relayd.directory.nta7516 import NtaRecord
from relayd.dns.records import Answer, Validation
from relayd.mail.address import Domain
from tests.kit.dns import FakeDns

US = Domain("us.example")
RECORD = NtaRecord("x", date(2026, 1, 1), date(2026, 12, 31))
DIRECTORY = Directory(
    {"us": Organisation("us", "Us", frozenset({US}))}, {}, {}, {}, {}, nta_provider=NtaProvider({"us": RECORD})
)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
DAY = 86400.0


async def found(texts: list[str] | Answer, now: float = NOON, *, secure: bool = True) -> list[tuple[Level, str]]:
    dns = FakeDns({("us.example", "TXT"): texts}, secure=["us.example"] if secure else [])
    return [(one.level, one.text) for one in await nta7516(DIRECTORY, dns, now)]


@pytest.mark.parametrize(
    ("texts", "level", "words"),
    [
        (["v=spf1 -all", str(RECORD)], Level.OK, "publishes us's record, signed with DNSSEC"),
        ([str(RECORD).replace("NTA7516-1;", "nta7516-1 ; ")], Level.OK, "publishes us's record"),
        ([str(RECORD).replace("=x", "=y")], Level.WARN, "publishes another record than us's"),
        ([str(RECORD), str(RECORD) + ";"], Level.WARN, "count as none"),
        (["v=spf1 -all"], Level.WARN, "publishes no NTA 7516 record"),
        (Answer.TIMEOUT, Level.WARN, "ended in timeout"),
    ],
)
async def test_what_dns_shows(texts: list[str] | Answer, level: Level, words: str) -> None:
    ((seen, text),) = await found(texts)
    assert seen is level
    assert words in text


async def test_an_unsigned_zone_is_told() -> None:
    assert await found([str(RECORD)], secure=False) == [(Level.WARN, "us.example: DNSSEC doesn't vouch for its record")]


async def test_a_resolver_that_is_not_tested_yet_says_nothing_of_dnssec() -> None:
    dns = FakeDns({("us.example", "TXT"): [str(RECORD)]}, secure=["us.example"])
    dns.validation = Validation.UNTESTED
    (finding,) = await nta7516(DIRECTORY, dns, NOON)
    assert "isn't known yet" in finding.text


@pytest.mark.parametrize(("days", "words"), [(182, None), (185, "ends on 2026-12-31"), (214, "ended on 2026-12-31")])
async def test_an_entry_that_ends_is_told_a_month_before(days: int, words: str | None) -> None:
    first, *others = await found([str(RECORD)], NOON + days * DAY)
    assert bool(others) is (words is not None)
    assert first[0] is (Level.WARN if words else Level.OK)
    assert (words or "") in first[1]
