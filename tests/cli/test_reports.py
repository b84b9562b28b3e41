"""``relayd reports``: what it prints of received reports, of our own, and of files."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli import reports
from relayd.cli.doctor_reports import reports as doctor
from relayd.dns.records import Answer
from relayd.errors import ConfigurationError, NotFound
from relayd.reporting.read import read_report
from relayd.settings.models import Configuration, ReportSettings
from relayd.store.report_counts import Count
from relayd.store.report_received import MOST, Received, Wanted
from tests.kit.dns import FakeDns
from tests.kit.reports import DMARC, TLS, TLS_MAIL, zipped
from tests.store.rig import DAY, SETTINGS, Rig

Run = Callable[..., int]


@pytest.fixture
def relayd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line on the rig in ``tmp_path``."""
    configuration = SimpleNamespace(
        state=tmp_path / "state",
        keys=tmp_path / "keys",
        store=SETTINGS,
        reports=ReportSettings(address="reports@relay.example"),
    )
    monkeypatch.setattr(reports, "configuration_of", lambda _: configuration)

    def run(*argv: str) -> int:
        parser = argparse.ArgumentParser()
        reports.add_parser(parser.add_subparsers(required=True))
        arguments = parser.parse_args(["reports", *argv])
        return int(arguments.run(arguments))

    return run


def received(data: bytes, message_id: str = "m1") -> Received:
    summary = read_report(data)
    return Received(
        message_id=message_id,
        kind=summary.kind,
        organisation=summary.organisation,
        report_id=summary.report_id,
        domain=summary.domain,
        begins=summary.begin,
        ends=summary.end,
        good=summary.good,
        bad=summary.bad,
        proven="company-x.example",
        detail=msgspec.json.encode(summary).decode(),
    )


@pytest.fixture
def filled(tmp_path: Path) -> None:
    """A TLS report that came twice, a DMARC report, something else, and a report of our own."""

    async def main() -> None:
        rig = Rig(tmp_path)
        store = await rig.open()
        unreadable = Received(message_id="m3", kind="unreadable", detail="its gzip is cut off")
        for one in (received(TLS), received(TLS, "m1b"), received(DMARC, "m2"), unreadable, unreadable):
            await store.call("report_receive", received=one, keep=90 * DAY)
        await store.call(
            "report_count",
            owner="w",
            number=1,
            counts=[Count("tls", "2026-11-22", "out.example", "{}", 1)],
            uncounted=[Count("tls", "2026-11-22", "", "", 70)],
        )
        await store.call("report_prepare", salt="")
        await store.close()
        await rig.blobs.close()

    asyncio.run(main())


@pytest.mark.usefixtures("filled")
def test_received_reports_are_listed_once_each(relayd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "DAY", "KIND", "DOMAIN", "FROM", "PROVEN", "GOOD", "BAD"]
    words = sorted(line.split()[1:4] for line in lines[1:])
    assert words == [
        ["2026-11-22", "dmarc", "noord.example"],
        ["2026-11-22", "tls", "noord.example"],
        ["2026-11-23", "unreadable", "-"],
    ]
    assert any("mail m3" in line and "its gzip is cut off" in line for line in lines)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["--kind", "tls"], ["tls"]),
        (["--kind", "unreadable"], ["unreadable"]),
        (["--domain", "NOORD.example"], ["tls", "dmarc"]),
        (["--domain", "other.example"], []),
        (["--since", "2026-11-22T12:00"], ["tls", "dmarc"]),
        (["--since", "2026-11-25"], []),
        (["--limit", "1"], ["tls"]),
    ],
)
def test_a_list_can_be_narrowed(
    relayd: Run, capsys: pytest.CaptureFixture[str], options: list[str], kinds: list[str]
) -> None:
    assert relayd("list", "--json", *options) == (0 if kinds else 1)
    found = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in found] == kinds


@pytest.mark.usefixtures("filled")
def test_one_report_line_by_line(relayd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    relayd("list", "--json")
    numbers = {one["kind"]: str(one["id"]) for one in json.loads(capsys.readouterr().out)}
    assert relayd("show", numbers["tls"]) == 0
    said = capsys.readouterr().out
    assert "5326 sessions good, 303 bad" in said
    assert "proven to come from company-x.example" in said
    assert "starttls-not-supported" in said
    assert "203.0.113.56" in said
    assert relayd("show", numbers["dmarc"]) == 0
    said = capsys.readouterr().out
    assert "123 messages good, 4 bad" in said
    assert "quarantine local_policy" in said
    assert relayd("show", numbers["dmarc"], "--json") == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert [(one["source"], one["count"]) for one in lines] == [("192.0.2.123", 123), ("2001:db8::7", 4)]
    assert relayd("show", numbers["unreadable"]) == 0
    assert "can't be read as a report: its gzip is cut off" in capsys.readouterr().out
    with pytest.raises(NotFound):
        relayd("show", "999")


@pytest.mark.usefixtures("filled")
def test_our_own_reports(relayd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("list", "--sent", "--json") == 0
    (sent,) = json.loads(capsys.readouterr().out)
    assert {name: sent[name] for name in ("day", "kind", "domain", "state")} == {
        "day": "2026-11-22",
        "kind": "tls",
        "domain": "out.example",
        "state": "due",
    }
    assert sent["uncounted"] == 70
    assert relayd("list", "--sent") == 0
    assert "2026-11-22 tls: 70 results weren't counted" in capsys.readouterr().out
    assert relayd("list", "--sent", "--kind", "dmarc") == 1


@pytest.mark.parametrize("data", [TLS, gzip.compress(TLS), zipped(DMARC), TLS_MAIL], ids=["json", "gz", "zip", "mail"])
def test_a_file_is_read(relayd: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    (tmp_path / "report").write_bytes(data)
    assert relayd("read", str(tmp_path / "report"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["domain"] == "noord.example"
    assert relayd("read", str(tmp_path / "report")) == 0
    assert "noord.example" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\x1f\x8bxx", "gzip"), (b"hello", "no part"), (b"", "no part"), (b"{}", "JSON"), (b"<a/>", "DMARC")],
)
def test_a_file_that_is_none(relayd: Run, tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "report").write_bytes(data)
    with pytest.raises(ConfigurationError, match=said):
        relayd("read", str(tmp_path / "report"))
    with pytest.raises(ConfigurationError, match="can't be read"):
        relayd("read", str(tmp_path / "absent"))


def test_summaries_have_their_day_and_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayd.store.report_received.MOST", 3)
    assert MOST > 3

    async def main() -> list[str]:
        rig = Rig(tmp_path)
        store = await rig.open()
        for number in range(5):
            one = Received(message_id=f"m{number}", kind="unreadable", detail="x")
            await store.call("report_receive", received=one, keep=10 * DAY)
        first: list[Received] = await store.call("reports_received", wanted=Wanted())
        rig.clock.turn(11 * DAY)
        one = Received(message_id="late", kind="unreadable", detail="x")
        await store.call("report_receive", received=one, keep=10 * DAY)
        second: list[Received] = await store.call("reports_received", wanted=Wanted())
        await store.close()
        await rig.blobs.close()
        return [",".join(sorted(one.message_id for one in found)) for found in (first, second)]

    assert asyncio.run(main()) == ["m2,m3,m4", "late"]


@pytest.mark.parametrize(
    ("zone", "keyed", "expected"),
    [
        ({("relay.example", "MX"): ["10 mx.relay.example"]}, True, ["ok"]),
        ({("relay.example", "MX"): ["10 mx.elsewhere.example"]}, True, ["not to mx.relay.example"]),
        ({("relay.example", "MX"): ["10 mx.relay.example"]}, False, ["no DKIM key"]),
        ({("relay.example", "MX"): Answer.TIMEOUT}, False, ["no DKIM key", "can't be looked up"]),
    ],
)
def test_doctor_says_whether_reports_arrive_and_are_believed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zone: dict[tuple[str, str], list[str]],
    keyed: bool,
    expected: list[str],
) -> None:
    monkeypatch.setattr(DkimKeyFiles, "domains", lambda _: ["relay.example"] if keyed else [])
    settings = {
        "hostname": "mx.relay.example",
        "state": tmp_path,
        "keys": tmp_path,
        "listeners": [{"address": "127.0.0.1:0", "kind": "relay"}],
        "tls": {"certificate": tmp_path / "c", "key": tmp_path / "k"},
    }
    silent = Configuration.model_validate(settings)
    configuration = Configuration.model_validate(settings | {"reports": {"address": "reports@relay.example"}})
    assert asyncio.run(doctor(silent, FakeDns())) == []
    findings = asyncio.run(doctor(configuration, FakeDns(zone)))
    assert len(findings) == len(expected)
    for finding, text in zip(findings, expected, strict=True):
        assert text in f"{finding.level} {finding.text}"
