"""`relayd records --check`: what DNS has of the records that should be there."""

from __future__ import annotations

import pytest

from relayd.cli.records import Published
from relayd.cli.records_check import Standing, look
from relayd.dns.records import Answer
from tests.kit.dns import FakeDns

MX = Published("clinic.example", "MX", "10 relay.example.")
TLSA = Published("_25._tcp.relay.example", "TLSA", "3 1 1 " + "ab" * 32)
SPF = Published("clinic.example", "TXT", "v=spf1 a:relay.example -all")
DMARC = Published("_dmarc.clinic.example", "TXT", "v=DMARC1; p=reject")
STS = Published("_mta-sts.clinic.example", "TXT", "v=STSv1; id=1;")


@pytest.mark.parametrize(
    ("wanted", "published", "state", "text"),
    [
        (MX, ["5 other.example", "10 relay.example"], Standing.THERE, ""),
        (MX, ["5 other.example"], Standing.OTHER, "other.example"),
        (TLSA, ["3 1 1 " + "cd" * 32, TLSA.text], Standing.THERE, ""),
        (TLSA, ["3 1 1 " + "cd" * 32], Standing.OTHER, "3 1 1 " + "cd" * 32),
        (SPF, ["unrelated", SPF.text], Standing.THERE, ""),
        (SPF, ["v=spf1 mx -all"], Standing.THERE, "in other words: v=spf1 mx -all"),
        (SPF, ["v=spf10 mx -all"], Standing.MISSING, ""),
        (DMARC, ["v=DMARC1;p=none"], Standing.THERE, "in other words: v=DMARC1;p=none"),
        (SPF, ["v=spf1 ipv4:192.0.2.1 -all"], Standing.OTHER,
         "broken (term 1: an unknown mechanism): v=spf1 ipv4:192.0.2.1 -all"),
        (SPF, [SPF.text, "v=spf1 mx -all"], Standing.OTHER,
         f"2 records, which together count as none: {SPF.text}, v=spf1 mx -all"),
        (DMARC, ["v=DMARC1; p=rejct"], Standing.OTHER,
         "broken (p= has an unknown value; without a valid p=, sp= or np= it counts as p=none, and only with a rua=): "
         "v=DMARC1; p=rejct"),
        (STS, ["v=STSv1; id=2;"], Standing.OTHER, "v=STSv1; id=2;"),
        (STS, [], Standing.MISSING, ""),
        (STS, Answer.BOGUS, Standing.UNKNOWN, "looking it up ended in bogus"),
    ],
)  # fmt: skip
async def test_one_record(wanted: Published, published: list[str] | Answer, state: Standing, text: str) -> None:
    zone = {(wanted.name, wanted.type): published} if published else {}
    (found,) = await look(FakeDns(zone), [wanted])
    assert (found.state, found.text) == (state, text)
