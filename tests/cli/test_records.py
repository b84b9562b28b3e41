"""``relayd records``: what to publish for a domain of ours."""

from __future__ import annotations

import json
from pathlib import Path

import dns.zone
import pytest

from relayd.cli.main import main
from tests.kit.ca import Authority
from tests.kit.configuration import FILES, write_configuration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reports = "\nreports: {address: tlsrpt@reports.example}\n"
    write_configuration(tmp_path, relayd=FILES["relayd.yaml"] + reports.replace("\n", "\n        "))
    return tmp_path


@pytest.fixture
def pin(folder: Path) -> str:
    issued = Authority(folder / "ca").issue("relay.example")
    (folder / "tls.pem").write_bytes(issued.certificate.read_bytes())
    return issued.pin


def listed(folder: Path, domain: str, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], str]:
    assert main(["records", domain, "--json", "--config", str(folder)]) == 0
    return {(one["name"], one["type"]): one["text"] for one in json.loads(capsys.readouterr().out)}


def test_a_domain_whose_mail_comes_here(folder: Path, pin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(folder, "north.example", capsys) == {
        ("north.example", "MX"): "10 relay.example.",
        ("_2525._tcp.relay.example", "TLSA"): f"3 1 1 {pin}",
        ("north.example", "TXT"): "v=spf1 a:relay.example -all",
        ("_dmarc.north.example", "TXT"): "v=DMARC1; p=reject; rua=mailto:tlsrpt@reports.example",
        ("_smtp._tls.north.example", "TXT"): "v=TLSRPTv1; rua=mailto:tlsrpt@reports.example",
        ("north.example._report._dmarc.reports.example", "TXT"): "v=DMARC1",
    }


def test_a_domain_that_only_sends_through_us_has_its_mail_servers_elsewhere(
    folder: Path, pin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not {kind for _, kind in listed(folder, "south.example", capsys)} & {"MX", "TLSA"}


def test_the_lines_are_of_a_zone_file(folder: Path, pin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "North.example", "--config", str(folder)]) == 0
    zone = dns.zone.from_text(capsys.readouterr().out, "example.", relativize=False, check_origin=False)
    assert len(list(zone.iterate_rdatas())) == 6


def test_a_domain_of_others_has_none(folder: Path, pin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "elsewhere.example", "--config", str(folder)]) == 1
    assert "isn't among the domains" in capsys.readouterr().err
