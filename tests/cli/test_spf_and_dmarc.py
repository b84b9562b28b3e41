"""`relayd spf` and `relayd dmarc` explain how a result comes about; their exit status is the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relayd.cli.main import main
from relayd.dns.records import Answer
from tests.kit.configuration import write_configuration
from tests.kit.dns_server import DnsServer

ZONE = {
    ("d.example", "TXT"): ["v=spf1 include:i.example a:h.example -all exp=why.example"],
    ("i.example", "TXT"): ["v=spf1 ip4:198.51.100.0/24 -all"],
    ("h.example", "A"): ["192.0.2.1"],
    ("why.example", "TXT"): ["%{i} may not"],
    ("broken.example", "TXT"): ["v=spf1 \x1b[31m -all"],
    ("mta.example", "TXT"): ["v=spf1 a -all"],
    ("mta.example", "A"): ["192.0.2.9"],
    ("_dmarc.d.example", "TXT"): ["v=DMARC1; p=quarantine; sp=reject; t=y; adkim=s; rua=mailto:r@d.example"],
    ("_dmarc.odd.example", "TXT"): ["v=DMARC1; p=reject; fo=1; pct=5"],
    ("_dmarc.useless.example", "TXT"): ["v=DMARC1; p=refuse"],
    ("_dmarc.two.example", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
    ("_dmarc.lost.example", "TXT"): Answer.FAILED,
    ("_dmarc.nasty.example", "TXT"): [b"v=DMARC1; p=none; x=\x1b[2J\x00\xff"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_configuration(tmp_path_factory.mktemp("config"))
    settings = folder / "relayd.yaml"
    settings.write_text(f"{settings.read_text()}\nresolver: {DnsServer(ZONE).place}\n")
    return folder


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main([*words, "--config", str(folder)])
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "result"),
    [
        (["192.0.2.1", "d.example"], 0, "pass"),
        (["192.0.2.1", "<x@d.example>"], 0, "pass"),
        (["198.51.100.7", "d.example"], 0, "pass"),
        (["192.0.2.2", "d.example"], 1, "fail"),
        (["192.0.2.2", "nothing.example"], 1, "none"),
        (["192.0.2.2", "broken.example"], 1, "permerror"),
        (["192.0.2.9", "", "--helo", "mta.example"], 0, "pass"),
        (["192.0.2.9", "<>", "--helo", "mta.example"], 0, "pass"),
    ],
)
def test_spf(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, result: str) -> None:
    found, printed = run(folder, capsys, "spf", *words, "--json")
    assert (found, json.loads(printed)["result"]) == (status, result)
    found, printed = run(folder, capsys, "spf", *words)
    assert (found, f"result: {result}" in printed) == (status, True)
    assert printed.replace("\n", "").isprintable()


def test_spf_shows_the_way_to_its_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, printed = run(folder, capsys, "spf", "192.0.2.2", "d.example")
    assert printed.splitlines() == [
        "MAIL FROM d.example, sent by 192.0.2.2",
        "  d.example: v=spf1 include:i.example a:h.example -all exp=why.example – is its record",
        "      TXT of d.example: 1 found",
        "  d.example: include:i.example – asks i.example",
        "      i.example: v=spf1 ip4:198.51.100.0/24 -all – is its record",
        "          TXT of i.example: 1 found",
        "      i.example: ip4:198.51.100.0/24 – doesn't match",
        "      i.example: -all – matches: fail",
        "  d.example: include:i.example – doesn't match: fail",
        "  d.example: a:h.example – doesn't match",
        "      A of h.example: 1 found",
        "  d.example: -all – matches: fail",
        "",
        "result: fail (-all)",
        "d.example explains: 192.0.2.2 may not",
        "terms that asked DNS: 2 of 10; in vain: 0 of 2",
    ]


@pytest.mark.parametrize("words", [["nonsense", "d.example"], ["192.0.2.1", "a b"], ["192.0.2.1", ""]])
def test_a_wrong_call_is_told(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["spf", *words, "--config", str(folder)]) == 1
    assert capsys.readouterr().err.startswith("relayd: ")


@pytest.mark.parametrize(
    ("domain", "status", "disposition", "problems"),
    [
        ("d.example", 0, "none", 0),
        ("x.d.example", 0, "quarantine", 0),
        ("nothing.example", 1, "", 0),
        ("odd.example", 1, "reject", 2),
        ("useless.example", 1, "", 2),
        ("two.example", 1, "", 1),
        ("lost.example", 1, "", 0),
        ("nasty.example", 1, "none", 1),
    ],
)
def test_dmarc(
    folder: Path, capsys: pytest.CaptureFixture[str], domain: str, status: int, disposition: str, problems: int
) -> None:
    found, printed = run(folder, capsys, "dmarc", domain, "--json")
    facts = json.loads(printed)
    assert (found, facts["disposition"], len(facts["problems"])) == (status, disposition, problems)
    found, printed = run(folder, capsys, "dmarc", domain)
    assert found == status
    assert printed.replace("\n", "").isprintable()


def test_dmarc_shows_the_walk(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, printed = run(folder, capsys, "dmarc", "x.d.example")
    assert printed.splitlines() == [
        "names of x.d.example, from the longest",
        "  _dmarc.x.d.example: nxdomain",
        "  _dmarc.d.example: v=DMARC1; p=quarantine; sp=reject; t=y; adkim=s; rua=mailto:r@d.example",
        "  _dmarc.example: nxdomain",
        "",
        "organisational domain: d.example",
        "the record of d.example applies",
        "mail that fails: quarantine (one step less, since t=y: testing)",
        "SPF must pass for the same organisational domain as in From",
        "DKIM must pass for the same domain as in From",
        "reports go to: mailto:r@d.example",
    ]
