"""`relayd doctor`: what its exit status says."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from relayd.cli import doctor
from relayd.cli.doctor import Finding, Level
from relayd.cli.main import main
from relayd.settings.load import load
from relayd.telemetry.lag import LagHistogram
from tests.kit.ca import Authority
from tests.kit.configuration import FILES, write_configuration
from tests.kit.lying_dns import LyingDns, Reply


@pytest.mark.parametrize(("level", "status"), [(Level.OK, 0), (Level.WARN, 1), (Level.BAD, 1)])
def test_what_soon_goes_wrong_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level, status: int
) -> None:
    write_configuration(tmp_path)
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("certificate", level, "expires in 4 days")])
    assert main(["doctor", "--no-network", "--config", str(tmp_path)]) == status


@pytest.mark.parametrize(("bits", "level"), [(3072, None), (2048, Level.WARN), (1024, Level.BAD)])
def test_a_certificate_that_falls_short_of_the_guideline_is_told(
    tmp_path: Path, bits: int, level: Level | None
) -> None:
    write_configuration(tmp_path)
    issued = Authority(tmp_path / "ca").issue("relay.example", rsa_bits=bits)
    (tmp_path / "tls.pem").write_bytes(issued.certificate.read_bytes())
    (tmp_path / "tls.key").write_bytes(issued.key.read_bytes())
    found = [one for one in doctor.examine(load(tmp_path)) if "guideline" in one.text]
    assert [one.level for one in found] == ([level] if level else [])


@pytest.mark.parametrize(
    ("late", "level", "text"),
    [
        (
            {"store": [0.001] * 100, "worker-0": [0.02] * 100},
            Level.OK,
            "up to 20 ms late at p99 (worker-0), 20 ms at worst",
        ),
        ({"store": [0.3], "worker-0": [0.001]}, Level.WARN, "up to 500 ms late at p99 (store), 500 ms at worst"),
        ({"store": [0.001] * 199 + [0.3]}, Level.OK, "up to 1 ms late at p99 (store), 500 ms at worst"),
        ({"worker-0": []}, Level.OK, "up to 0 ms late at p99 (worker-0), 0 ms at worst"),
    ],
)
def test_event_loops_that_are_late_are_a_warning(late: dict[str, list[float]], level: Level, text: str) -> None:
    histograms = {role: LagHistogram() for role in late}
    for role, each in late.items():
        for seconds in each:
            histograms[role].add(seconds)
    finding = doctor.loop_lag({role: histogram.counts() for role, histogram in histograms.items()})
    assert (finding.level, finding.text) == (level, text)


@pytest.mark.parametrize(
    ("signed", "broken", "level", "text"),
    [
        (Reply(["192.0.2.1"], secure=True), Reply(failed=True), Level.OK, "validates"),
        (Reply(["192.0.2.1"]), Reply(failed=True), Level.BAD, "does not validate"),
        (Reply(["192.0.2.1"], secure=True), Reply(["192.0.2.2"]), Level.BAD, "does not validate"),
        (Reply(failed=True), Reply(failed=True), Level.BAD, "can't be tested"),
    ],
)
async def test_the_resolver_is_put_to_the_test(
    tmp_path: Path, signed: Reply, broken: Reply, level: Level, text: str
) -> None:
    async with LyingDns() as server:
        server.say("signed.example", "A", signed)
        server.say("broken.example", "A", broken)
        names = "dnssec: {signed_name: signed.example, broken_name: broken.example}"
        settings = f"{dedent(FILES['relayd.yaml'])}\nresolver: 127.0.0.1:{server.port}\n{names}\n"
        write_configuration(tmp_path, relayd=settings, domainbook="{}")
        findings = await doctor.examine_network(load(tmp_path))
    (found,) = [finding for finding in findings if finding.subject == "resolver"]
    assert found.level is level
    assert text in found.text
