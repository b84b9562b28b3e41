"""Reports of others reach the daemon as mail, and end as summaries; nothing is ever sent back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.dkim import RECORD, signed
from tests.kit.dns_server import DnsServer
from tests.kit.reports import DMARC, TLS, TLS_MAIL
from tests.kit.reports import mail as report_mail
from tests.kit.site import Site
from tests.kit.talk import say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour

ADDRESS = "reports@mx.relayd.example"


@pytest.fixture(scope="module")
def relayd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    folder = tmp_path_factory.mktemp("reports")
    site = Site(folder)
    (folder / "unreadable").mkdir()
    site.relayd["folders"] = {
        "unreadable": {
            "path": str(folder / "unreadable"),
            "plaintext_at_rest": "accepted",
            "reason": "made-up mail only",
        }
    }
    site.relayd["reports"] = {"address": ADDRESS, "unreadable": "unreadable"}
    site.relayd["resolver"] = DnsServer({("s._domainkey.company-x.example", "TXT"): [RECORD]}).place
    with RelayProcess(site) as relayd:
        yield relayd


def send(relayd: RelayProcess, content: bytes, sender: str = "") -> str:
    """Send it as a stranger; the id it was accepted under."""
    with relayd.stranger() as client:
        code, reply = say(client, sender, [ADDRESS], content)
    assert code == 250, reply
    return reply.split()[-1]


def listed(relayd: RelayProcess, *options: str) -> list[dict[str, object]]:
    done = relayd.cli("reports", "list", "--json", *options, check=False)
    return list(json.loads(done.stdout))


def test_a_stranger_s_report_is_read(relayd: RelayProcess) -> None:
    identity = send(relayd, TLS_MAIL)
    wait_for(lambda: listed(relayd, "--kind", "tls"), "the report")
    (found,) = listed(relayd, "--kind", "tls")
    assert {name: found[name] for name in ("message", "domain", "organisation", "good", "bad")} == {
        "message": identity,
        "domain": "noord.example",
        "organisation": "Company-X",
        "good": 5326,
        "bad": 303,
    }
    shown = relayd.json("reports", "show", str(found["id"]))
    assert shown["lines"][0] == {
        "type": "tls",
        "policy": "sts",
        "policy_domain": "noord.example",
        "result": "success",
        "host": "",
        "address": "",
        "sender": "",
        "reason": "",
        "count": 5326,
    }
    assert found["proven"] == ""
    told = relayd.cli("message", "show", identity).stdout
    assert "read as a tls report on noord.example" in told


def test_a_signed_dmarc_report_is_proven_to_be_its_author_s(relayd: RelayProcess) -> None:
    content = signed(report_mail(gzip.compress(DMARC), "application/gzip", "r.xml.gz"), b"company-x.example")
    send(relayd, content, "dmarc@reporter.example")
    wait_for(lambda: listed(relayd, "--kind", "dmarc"), "the report")
    assert [one["proven"] for one in listed(relayd, "--kind", "dmarc")] == ["company-x.example"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mail.message("someone@stranger.example", [ADDRESS]), "no part of the mail looks like a report"),
        (
            report_mail(gzip.compress(TLS.replace(b"noord.example", b"else.example"))),
            "it is about a domain that isn't ours",
        ),
    ],
    ids=["no report", "about somebody else"],
)
def test_what_is_no_report_is_filed_and_not_bounced(relayd: RelayProcess, content: bytes, reason: str) -> None:
    identity = send(relayd, content, "someone@stranger.example")
    folder = Path(relayd.site.relayd["folders"]["unreadable"]["path"])
    wait_for(lambda: list(folder.glob(f"{identity}*.eml")), "the file")
    wait_for(lambda: [one for one in listed(relayd, "--kind", "unreadable") if one["message"] == identity], "the row")
    (row,) = [one for one in listed(relayd, "--kind", "unreadable") if one["message"] == identity]
    assert row["reason"] == reason
    assert relayd.cli("message", "find", "--recipient", "someone@stranger.example", check=False).returncode == 1


def test_explain_shows_where_a_report_goes(relayd: RelayProcess, tmp_path: Path) -> None:
    (tmp_path / "report.eml").write_bytes(TLS_MAIL)
    told = relayd.json(
        "explain", tmp_path / "report.eml", "--from", "r@company-x.example", "--to", ADDRESS, "--peer", "192.0.2.7"
    )
    (fate,) = told["recipients"]
    assert fate["outcome"] == "report"


def test_check_says_what_an_address_needs(relayd: RelayProcess, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.relayd["reports"] = {"address": ADDRESS, "unreadable": "nowhere"}
    site.policies = [entry for entry in site.policies if entry["policy"] != "reports"]
    other = RelayProcess(site)
    site.write()
    said = other.cli("check", check=False)
    text = said.stdout + said.stderr
    assert "needs the policy reports, in front of domainbook" in text
    assert "there is no folder called nowhere" in text
