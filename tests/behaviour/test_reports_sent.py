"""A day's reports leave the real daemon: counted in one life of it, sent in the next, signed, and readable."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from types import SimpleNamespace

import dkim
import pytest

from relayd.dns.records import Answer
from relayd.reporting.read import read_mail
from relayd.reporting.summary import DmarcLine, TlsLine
from tests.kit import mail, preload
from tests.kit.daemon import RelayProcess
from tests.kit.dns_server import DnsServer
from tests.kit.failing import Machine
from tests.kit.sink import Sink
from tests.kit.site import HOSTNAME, Site
from tests.kit.talk import ANNA, say
from tests.kit.wait import wait_for

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(preload.unavailable()), reason=preload.unavailable() or "a compiler"),
]

#: To the hour at which every report of the day before has become due.
NEXT_DAY = 86400 + 4 * 3600
TLS_ADDRESS, DMARC_ADDRESS = "tls@partner.example", "dmarc@partner.example"
ZONE = {
    # Mail to out.example can't go: what is said to be its host's TLSA record is forged.
    ("out.example", "MX"): ["10 mx.out.example"],
    ("mx.out.example", "A"): ["192.0.2.25"],
    ("_25._tcp.mx.out.example", "TLSA"): Answer.BOGUS,
    ("_smtp._tls.out.example", "TXT"): [f"v=TLSRPTv1; rua=mailto:{TLS_ADDRESS}"],
    # By these two names relayd sees that the name server validates.
    ("out.example", "A"): Answer.NO_DATA,
    ("broken.example", "A"): Answer.BOGUS,
    # Strangers write as good.example, which wants to hear of it somewhere else.
    ("good.example", "TXT"): ["v=spf1 ip4:127.0.0.0/8 -all"],
    ("_dmarc.good.example", "TXT"): [f"v=DMARC1; p=reject; rua=mailto:{DMARC_ADDRESS}"],
    ("good.example._report._dmarc.partner.example", "TXT"): ["v=DMARC1"],
    # And as quiet.example, whose reports nobody has agreed to take.
    ("quiet.example", "TXT"): ["v=spf1 ip4:127.0.0.0/8 -all"],
    ("_dmarc.quiet.example", "TXT"): [f"v=DMARC1; p=reject; rua=mailto:{DMARC_ADDRESS}"],
}


@dataclass
class Sent:
    """What arrived at the partner, and how to verify it."""

    mails: dict[str, bytes]
    keys: dict[str, bytes]
    fates: dict[tuple[str, str], str]
    clock: float


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    folder = tmp_path_factory.mktemp("reports")
    site = Site(folder)
    site.relayd |= {
        "resolver": DnsServer(ZONE, secure=["out.example"]).place,
        "reports": {"address": f"reports@{HOSTNAME}", "organisation": "The test's relay"},
        "dnssec": {"signed_name": "out.example", "broken_name": "broken.example"},
        "queue": {"schedule": ["1s"]},
    }
    site.organisations["organisations"]["praktijk"]["settings"] = {"allow_plain": True}
    machine = Machine(folder)
    relayd = RelayProcess(site, environment=machine.environment)
    relayd.prepare()
    made = json.loads(relayd.cli("dkim", "create", HOSTNAME, "--activate", "--json").stdout)
    with Sink(folder / "partner", site.partner, port=site.partner_port) as partner:
        with relayd:
            _make_results(relayd)
        machine.jump(NEXT_DAY)
        with relayd:
            wait_for(lambda: len(_fates(relayd)) == 3 and "due" not in _fates(relayd).values(), "the reports", 60)
            wait_for(lambda: len(partner.receipts) == 2, "the mails", 60)
            receipts = {receipt.recipients[0]: receipt for receipt in partner.receipts}
            assert all(receipt.sender == "" for receipt in receipts.values())
            yield Sent(
                {address: partner.content(receipt) for address, receipt in receipts.items()},
                {one["name"]: one["text"].encode() for one in made["records"]},
                _fates(relayd),
                time.time() + NEXT_DAY,
            )


def _make_results(relayd: RelayProcess) -> None:
    with relayd.submission(ANNA) as client:
        code, text = say(client, ANNA, ["someone@out.example"], mail.message(ANNA, ["someone@out.example"]))
    assert code == 250, text
    identity = text.split()[-1]
    wait_for(lambda: _tried(relayd, identity), "a first try")
    for author, times in (("a@good.example", 2), ("a@quiet.example", 1)):
        for _ in range(times):
            with relayd.stranger() as client:
                code, text = say(client, author, [ANNA], mail.message(author, [ANNA]))
            assert code == 250, text


def _tried(relayd: RelayProcess, identity: str) -> bool:
    return any(one["kind"] == "deferred" for one in relayd.json("message", "show", identity)["journal"])


def _fates(relayd: RelayProcess) -> dict[tuple[str, str], str]:
    done = relayd.cli("reports", "list", "--sent", "--json", check=False)
    return {(one["kind"], one["domain"]): one["state"] for one in json.loads(done.stdout or "[]")}


def test_each_report_went_to_who_asked_and_may_have_it(sent: Sent) -> None:
    assert set(sent.mails) == {TLS_ADDRESS, DMARC_ADDRESS}
    assert sent.fates == {
        ("tls", "out.example"): "sent",
        ("dmarc", "good.example"): "sent",
        ("dmarc", "quiet.example"): "unwanted",
    }


@pytest.mark.parametrize("address", [TLS_ADDRESS, DMARC_ADDRESS])
def test_it_is_signed_for_its_author(sent: Sent, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    message = message_from_bytes(sent.mails[address], policy=SMTP)
    assert isinstance(message, EmailMessage)
    assert message["From"] == f"reports@{HOSTNAME}"
    monkeypatch.setattr(dkim, "time", SimpleNamespace(time=lambda: sent.clock))
    verifier = dkim.DKIM(sent.mails[address])

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        return sent.keys.get(name.rstrip(b".").decode())

    signatures = message.get_all("DKIM-Signature") or []
    assert signatures
    assert [verifier.verify(idx=index, dnsfunc=lookup) for index in range(len(signatures))] == [True] * len(signatures)
    assert all(f"d={HOSTNAME};" in str(one) for one in signatures)


def test_the_tls_report_says_what_failed(sent: Sent) -> None:
    content = sent.mails[TLS_ADDRESS]
    summary = read_mail(content)
    assert (summary.domain, summary.organisation, summary.good) == ("out.example", "The test's relay", 0)
    line = summary.lines[0]
    assert isinstance(line, TlsLine)
    assert (line.policy, line.result, line.host) == ("tlsa", "dnssec-invalid", "mx.out.example")
    assert summary.bad == line.count > 0
    assert message_from_bytes(content)["TLS-Required"] == "No"


def test_the_dmarc_report_says_who_wrote(sent: Sent) -> None:
    summary = read_mail(sent.mails[DMARC_ADDRESS])
    assert (summary.domain, summary.good, summary.bad) == ("good.example", 2, 0)
    (line,) = summary.lines
    assert isinstance(line, DmarcLine)
    assert (line.source, line.disposition, line.spf_aligned, line.count) == ("127.0.0.1", "pass", True, 2)
