"""`relayd doctor` and `relayd check` on the domain of the Viewer's own addresses."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli.doctor_viewer import viewer_addresses
from relayd.cli.main import main
from relayd.dns.records import Answer
from relayd.settings.models import Configuration
from tests.kit.configuration import FILES, write_configuration
from tests.kit.dns import FakeDns

OURS = "replies.viewer.example"


def configuration(folder: Path, **viewer: object) -> Configuration:
    return Configuration.model_validate(
        {
            "hostname": "mx.relay.example",
            "state": folder / "state",
            "keys": folder / "keys",
            "listeners": [{"address": "127.0.0.1:0", "kind": "relay"}],
            "tls": {"certificate": folder / "c", "key": folder / "k"},
            "viewer": {"url": "https://viewer.example"} | viewer,
        }
    )


@pytest.mark.parametrize(
    ("zone", "keyed", "expected"),
    [
        ({(OURS, "MX"): ["10 mx.relay.example"]}, True, ["ok"]),
        ({(OURS, "MX"): ["10 mx.elsewhere.example"]}, True, ["not to mx.relay.example"]),
        ({(OURS, "MX"): ["10 mx.relay.example"]}, False, ["no DKIM key"]),
        ({(OURS, "MX"): Answer.TIMEOUT}, False, ["no DKIM key", "can't be looked up"]),
    ],
)
async def test_whether_readers_can_be_answered_and_are_believed(tmp_path, monkeypatch, zone, keyed, expected):
    monkeypatch.setattr(DkimKeyFiles, "domains", lambda _: [OURS] if keyed else [])
    findings = await viewer_addresses(configuration(tmp_path), FakeDns(zone))
    assert len(findings) == len(expected)
    for finding, text in zip(findings, expected, strict=True):
        assert text in f"{finding.level} {finding.text}"


@pytest.mark.parametrize("viewer", [{"enabled": False}, {"url": "http://127.0.0.1:8080"}])
async def test_nothing_is_asked_for_a_viewer_that_nobody_outside_meets(tmp_path, viewer):
    assert await viewer_addresses(configuration(tmp_path, **viewer), FakeDns({})) == []


@pytest.mark.parametrize(("domain", "taken"), [("north.example", True), ("answers.example", False)])
def test_its_domain_is_nobody_elses(tmp_path, capsys, domain, taken):
    write_configuration(tmp_path)
    settings = f"viewer: {{url: 'https://viewer.example', mail_domain: {domain}}}\n"
    (tmp_path / "relayd.yaml").write_text(dedent(FILES["relayd.yaml"]) + settings)
    main(["check", "--config", str(tmp_path)])
    assert (f"{domain} is somebody's mail domain already" in capsys.readouterr().out) is taken
