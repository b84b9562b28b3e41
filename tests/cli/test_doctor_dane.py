"""`relayd doctor`: do TLSA records of our own fit the certificate that we show?"""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.cli.doctor_dane import dane
from relayd.cli.findings import Level
from relayd.clock import SystemClock
from relayd.dns.records import Answer
from relayd.settings.load import load
from tests.kit.chains import make
from tests.kit.configuration import write_configuration
from tests.kit.dns import FakeDns

OURS, NEXT = make("ours", names=["relay.example"]), make("next", names=["relay.example"])
RIGHT, WRONG, PKIX = (str(one) for one in (OURS.tlsa(3, 1, 1), NEXT.tlsa(3, 1, 1), OURS.tlsa(1, 1, 1)))


@pytest.mark.parametrize(
    ("tlsa", "secure", "level", "says"),
    [
        ([RIGHT], True, Level.OK, "fits our certificate (3 1 1)"),
        ([WRONG, RIGHT], True, Level.OK, "fits our certificate (3 1 1)"),
        ([WRONG], True, Level.BAD, "doesn't fit our certificate"),
        ([PKIX], True, Level.WARN, "none is usable"),
        (Answer.BOGUS, True, Level.BAD, "ended in bogus"),
        ([], True, None, ""),
        ([WRONG], False, None, ""),
    ],
    ids=["ours", "the next one's too", "another key", "usage 1", "spoilt", "none", "not signed"],
)
async def test_our_own_records(
    tmp_path: Path, tlsa: list[str] | Answer, secure: bool, level: Level | None, says: str
) -> None:
    write_configuration(tmp_path)
    certificate, key = OURS.write(tmp_path)
    certificate.replace(tmp_path / "tls.pem")
    key.replace(tmp_path / "tls.key")
    zone = {("relay.example", "A"): ["192.0.2.1"], ("_2525._tcp.relay.example", "TLSA"): tlsa}
    resolver = FakeDns({name: found for name, found in zone.items() if found}, ["example"] if secure else [])
    found = await dane(load(tmp_path).configuration, resolver, SystemClock().now())
    assert [one.level for one in found] == ([level] if level else [])
    assert all(says in one.text for one in found)
