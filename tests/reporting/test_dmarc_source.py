"""Who gets an aggregate report: the record's own hosts, and others who say that they want it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from relayd.dns.records import Answer
from relayd.reporting.dmarc_rows import DmarcRow
from relayd.reporting.dmarc_source import DmarcSource, TreeWalk
from relayd.store.report_counts import Count, Report
from tests.kit.dns import FakeDns
from tests.reporting.test_dmarc_report import row

CONSENT = ("clinic.example._report._dmarc.thirdparty.example", "TXT")


class LastTwoLabels:
    """Organisational domains as the test's world has them; None for what begins with "silent"."""

    async def organisational_domain(self, domain: str) -> str | None:
        return None if domain.startswith("silent") else ".".join(domain.split(".")[-2:])


def report(*rua: str, counts: Sequence[int] = (1,)) -> Report:
    rows: list[DmarcRow] = [row(published=(("v", "DMARC1"), ("p", "none"), ("rua", one))) for one in rua]
    return Report(
        kind="dmarc",
        day="2026-11-23",
        domain="clinic.example",
        tries=1,
        mails=0,
        until=0.0,
        left=None,
        counts=tuple(
            Count("dmarc", "2026-11-23", "clinic.example", msgspec.json.encode(one).decode(), count)
            for one, count in zip(rows, counts, strict=True)
        ),
    )


async def found(rua: str, records: Sequence[str] | Answer | None = None) -> list[str] | None:
    dns = FakeDns({} if records is None else {CONSENT: records})
    destinations = await DmarcSource(dns, LastTwoLabels()).destinations(report(rua))
    return None if destinations is None else [str(one) for one in destinations]


@pytest.mark.parametrize(
    ("rua", "expected"),
    [
        ("mailto:d@clinic.example", ["mailto:d@clinic.example"]),
        ("mailto:d@reports.clinic.example", ["mailto:d@reports.clinic.example"]),
        (
            "mailto:d@clinic.example!10m, mailto:e@clinic.example",
            ["mailto:d@clinic.example", "mailto:e@clinic.example"],
        ),
        ("https://clinic.example/dmarc", []),
        ("", []),
        ("nonsense", []),
    ],
)
async def test_hosts_of_the_organisation_need_no_consent(rua: str, expected: list[str]) -> None:
    assert await found(rua) == expected


OUTSIDE = "mailto:d@thirdparty.example"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (None, []),
        (["v=DMARC1"], [OUTSIDE]),
        (["v=DMARC1;"], [OUTSIDE]),
        (["v=DMARC1; p=none"], [OUTSIDE]),
        (["v=spf1 -all", "v=DMARC1;"], [OUTSIDE]),
        (["v=DMARC1;", "v=DMARC1;"], [OUTSIDE]),
        (["v=spf1 -all"], []),
        (["DMARC1"], []),
        (["v=dmarc1"], []),
        (["v=DMARC12"], []),
        (["x=1; v=DMARC1"], []),
        (["v=DMARC1; rua=mailto:other@thirdparty.example"], ["mailto:other@thirdparty.example"]),
        (["v=DMARC1; rua=mailto:victim@elsewhere.example"], []),
        (["v=DMARC1; rua=mailto:a@thirdparty.example,mailto:victim@elsewhere.example"], []),
        (["v=DMARC1; rua=mailto:a@sub.thirdparty.example"], []),
        (["v=DMARC1; rua=junk"], [OUTSIDE]),
        (Answer.TIMEOUT, None),
        (Answer.BOGUS, None),
        (Answer.NO_DATA, []),
    ],
)
async def test_an_outside_host_has_to_want_it(
    records: Sequence[str] | Answer | None, expected: list[str] | None
) -> None:
    assert await found(OUTSIDE, records) == expected


async def test_what_dns_cannot_tell_now_is_asked_later() -> None:
    assert await found("mailto:d@silent.example") is None


async def test_a_name_too_long_to_ask_for_has_not_consented() -> None:
    host = ".".join(["a" * 60] * 4) + ".example"
    assert await found(f"mailto:d@{host}") == []


async def test_the_record_that_most_messages_met_counts() -> None:
    source = DmarcSource(FakeDns(), LastTwoLabels())
    several = report("mailto:old@clinic.example", "mailto:new@clinic.example", counts=(2, 5))
    assert [str(one) for one in await source.destinations(several) or ()] == ["mailto:new@clinic.example"]


async def test_a_size_limit_goes_with_its_destination() -> None:
    (destination,) = (
        await DmarcSource(FakeDns(), LastTwoLabels()).destinations(report("mailto:d@clinic.example!1k")) or ()
    )
    assert destination.limit == 1024


@pytest.mark.parametrize(
    ("domain", "zone", "expected"),
    [
        ("mail.clinic.example", {("_dmarc.clinic.example", "TXT"): ["v=DMARC1; p=none"]}, "clinic.example"),
        (
            "a.city.example",
            {("_dmarc.city.example", "TXT"): ["v=DMARC1; p=none; psd=y"]},
            "a.city.example",
        ),
        ("clinic.example", {}, "clinic.example"),
        ("clinic.example", {("_dmarc.example", "TXT"): Answer.TIMEOUT}, None),
    ],
)
async def test_domains_belong_together_by_the_tree_walk(
    domain: str, zone: dict[tuple[str, str], list[str]], expected: str | None
) -> None:
    assert await TreeWalk(FakeDns(zone)).organisational_domain(domain) == expected
