"""Who wrote it, in the real daemon: what strangers' mail gets, and what stands on top of it."""

from __future__ import annotations

import email.policy
import json
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from relayd.authenticity.authentication_results import forged
from relayd.dns.records import Answer
from relayd.mail.headers import Headers
from tests.behaviour.conftest import Stage
from tests.kit import mail
from tests.kit.daemon import RELAYD, RelayProcess
from tests.kit.dkim import RECORD, signed
from tests.kit.dns_server import DnsServer
from tests.kit.sink import Sink
from tests.kit.site import HOSTNAME, Site
from tests.kit.talk import ANNA, COLLEAGUE, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour

ZONE = {
    ("good.example", "TXT"): ["v=spf1 ip4:127.0.0.0/8 -all"],
    ("_dmarc.good.example", "TXT"): ["v=DMARC1; p=reject"],
    ("bad.example", "TXT"): ["v=spf1 -all"],
    ("_dmarc.bad.example", "TXT"): ["v=DMARC1; p=reject"],
    ("_dmarc.odd.example", "TXT"): ["v=DMARC1; p=quarantine"],
    ("_dmarc.lost.example", "TXT"): Answer.FAILED,
    ("_dmarc.signer.example", "TXT"): ["v=DMARC1; p=reject"],
    ("s._domainkey.signer.example", "TXT"): [RECORD],
    ("plain.example", "TXT"): ["v=spf1 -all"],
}
FORGED = {
    "Authentication-Results": f"{HOSTNAME.upper()} (really); dmarc=pass header.from=bank.example",
    "X-Other": "stays",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("relayd")
    site = Site(folder)
    site.relayd["resolver"] = DnsServer(ZONE).place
    with (
        Sink(folder / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site) as relayd,
    ):
        yield Stage(site, relayd, partner)


def sent(stage: Stage, author: str, *, envelope: str | None = None, sign: str = "") -> tuple[int, str, bytes]:
    """A stranger's message to Anna: the reply, and the content with forged results in it."""
    content = mail.message(author, [ANNA], headers=FORGED)
    if sign:
        content = signed(content, sign.encode())
    with stage.relayd.stranger() as client:
        code, text = say(client, author if envelope is None else envelope, [ANNA], content)
    return code, text, content


def delivered(stage: Stage, content: bytes) -> bytes:
    wanted = mail.message_id_of(content).encode()

    def look() -> bytes | None:
        files = [path for path in (stage.site.mailbox(ANNA) / "new").glob("*") if path.is_file()]
        return next((text for path in files if wanted in (text := path.read_bytes())), None)

    return wait_for(look, "the message in Anna's mailbox")


@pytest.mark.parametrize(
    ("author", "envelope", "sign", "results"),
    [
        ("x@good.example", None, "", ["spf=pass", "dkim=none", "dmarc=pass"]),
        ("x@signer.example", "bounce@plain.example", "signer.example", ["spf=fail", "dkim=pass", "dmarc=pass"]),
        ("x@nowhere.example", None, "", ["spf=none", "dkim=none", "dmarc=none"]),
        ("x@plain.example", None, "", ["spf=fail", "dkim=none", "dmarc=none"]),
    ],
)
def test_results_stand_on_top_and_forged_ones_are_gone(
    stage: Stage, author: str, envelope: str | None, sign: str, results: list[str]
) -> None:
    code, text, content = sent(stage, author, envelope=envelope, sign=sign)
    assert code == 250, text
    arrived = delivered(stage, content)
    headers = Headers(arrived.partition(b"\r\n\r\n")[0] + b"\r\n")
    names = [one.name for one in headers.fields]
    top = names.index("authentication-results")
    assert names[top + 1] == "received"
    assert forged(headers, HOSTNAME) == (top,)
    assert "x-other" in names
    said = message_from_bytes(arrived, policy=email.policy.default)["Authentication-Results"]
    assert [part.split()[0] for part in str(said).split(";")[1:]] == results


@pytest.mark.parametrize(("author", "envelope"), [("x@bad.example", None), ("x@good.example", "")])
def test_a_failing_message_is_refused_where_its_domain_asks_for_that(
    stage: Stage, author: str, envelope: str | None
) -> None:
    code, text, _ = sent(stage, author, envelope=envelope)
    assert (code, text[:5]) == (550, "5.7.1")
    assert "DMARC" in text


def test_a_failing_message_is_held_where_its_domain_asks_for_quarantine(stage: Stage) -> None:
    code, text, _ = sent(stage, "x@odd.example")
    assert code == 250, text
    listed = subprocess.run(
        [RELAYD, "queue", "list", "--state", "held", "--json", "--config", str(stage.site.config)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert len(json.loads(listed)) == 1


def test_what_dns_does_not_tell_is_deferred(stage: Stage) -> None:
    code, text, _ = sent(stage, "x@lost.example")
    assert (code, text[:5]) == (451, "4.4.3")


def test_a_member_cannot_forge_results_either(stage: Stage) -> None:
    content = mail.message(ANNA, [COLLEAGUE], headers=FORGED)
    with stage.relayd.submission(ANNA) as client:
        assert say(client, ANNA, [COLLEAGUE], content)[0] == 250
    arrived = stage.partner.content(stage.partner.wait_for_receipt(mail.message_id_of(content)))
    headers = Headers(arrived.partition(b"\r\n\r\n")[0] + b"\r\n")
    (ours,) = headers.all("authentication-results")
    assert ours.value == f"{HOSTNAME};\tauth=pass\t\tsmtp.mailfrom={ANNA}".encode()


def test_explain_judges_by_the_same_results(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(mail.message("x@bad.example", [ANNA]))
    done = stage.relayd.cli("explain", str(file), "--from", "x@bad.example", "--to", ANNA, "--json", check=False)
    foreseen = json.loads(done.stdout)
    assert not foreseen["accepted"]
    assert "DMARC" in foreseen["reply"]
