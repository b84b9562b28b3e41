"""EDI by real mail: a laboratory's Postfix sends results to practices that each want them in a form of their own."""

from __future__ import annotations

import json
import re
import smtplib
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from types import SimpleNamespace

import dkim
import pytest

from tests.kit import postfix
from tests.kit.browser import Browser
from tests.kit.daemon import RelayProcess
from tests.kit.postfix import Postfix
from tests.kit.sink import Sink
from tests.kit.site import HOSTNAME, Site
from tests.kit.talk import ANNA, BRAM, say
from tests.kit.wait import wait_for

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(postfix.available()), reason=postfix.available()),
]
SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
MEDLAB = (SAMPLES / "medlab_full_latin1_crlf.edi").read_bytes()
LAB, PATIENT = "lab@noord.example", "patient@outside.example"
FILES, LIMS = "archief@praktijk.example", "lims@praktijk.example"
GATEWAY = "gateway.example"


class Stage(SimpleNamespace):
    """The laboratory, relayd, and what arrives."""

    def post(self, to: str, *, subject: str = "Uitslag", leaf: bytes = MEDLAB, text: str = "") -> None:
        """By the laboratory's own mail server."""
        with smtplib.SMTP("127.0.0.1", self.laboratory.port) as client:
            client.sendmail(LAB, [to], self.mail(to, subject=subject, leaf=leaf, text=text))

    @staticmethod
    def mail(to: str, *, subject: str = "Uitslag", leaf: bytes = MEDLAB, text: str = "") -> bytes:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = LAB, to, subject, "<uitslag@noord.example>"
        mail["Date"] = "Mon, 23 Nov 2026 12:00:00 +0100"
        if text:
            mail.set_content(text)
            mail.add_attachment(leaf, maintype="application", subtype="edifact", filename="uitslag.edi")
        else:
            mail.set_content(leaf, maintype="application", subtype="octet-stream", filename="uitslag.edi")
        return mail.as_bytes(policy=SMTP)

    def count(self, address: str) -> int:
        """Mails in this mailbox."""
        return len(list((self.site.mailbox(address) / "new").glob("*")))

    def arrived(self, address: str, count: int = 1, timeout: float = 30.0) -> EmailMessage:
        """The last of so many mails in this mailbox."""
        return message_from_bytes(self.octets(address, count, timeout), policy=default)  # type: ignore[return-value]

    def octets(self, address: str, count: int = 1, timeout: float = 30.0) -> bytes:
        folder = self.site.mailbox(address) / "new"
        wait_for(lambda: self.count(address) >= count, f"mail {count} for {address}", timeout)
        return max(folder.glob("*"), key=lambda path: path.stat().st_mtime_ns).read_bytes()

    def files(self, count: int) -> list[Path]:
        wait_for(lambda: len(list(self.folder.glob("[!.]*"))) >= count, f"{count} files in the folder")
        return sorted(self.folder.glob("[!.]*"))

    def journal(self, address: str) -> list[dict]:
        """What happened to the last message for this address."""
        found = self.relayd.json("message", "find", "--recipient", address)
        return self.relayd.json("message", "show", found[-1]["id"])["journal"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edi")
    site = Site(folder)
    site.relayd["queue"] = {"schedule": ["1s"]}
    site.relayd["edi"] = {"gateway": GATEWAY}
    site.relayd["folders"] = {
        "results": {
            "path": str(folder / "results"),
            "names": "{type}-{reference}-{message}-{number}.{extension}",
            "plaintext_at_rest": "accepted",
            "reason": "made-up mail only",
        }
    }
    (folder / "results").mkdir()
    site.accounts |= {FILES: site.accounts[ANNA], LIMS: site.accounts[ANNA]}
    site.policies.insert(2, {"policy": "edi"})
    site.organisations["organisations"]["noord"]["settings"] = {"edi_outside": "html"}
    site.organisations["organisations"]["praktijk"] |= {
        "edi_numbers": {"500000002": ANNA},
        "settings": {
            "edi_rules": [
                {"mailboxes": [BRAM], "type": "MEDLAB", "form": "pdf"},
                {"mailboxes": [LIMS], "form": "hl7"},
                {"mailboxes": [FILES], "form": "folder", "folder": "results", "receipt": True},
                {"type": "MEDLAB", "form": "html"},
            ]
        },
    }
    with Sink(folder / "partner", site.partner, port=site.partner_port) as sink, RelayProcess(site) as relayd:
        keys = relayd.json("dkim", "create", "noord.example", "--activate")
        relayd.reload()
        with Postfix(
            "mail.noord.example",
            relay_to=site.relay_port,
            ca=site.authority.certificate,
            relay_name=HOSTNAME,
            client=site.hospital,
        ) as laboratory:
            yield Stage(
                site=site, relayd=relayd, sink=sink, laboratory=laboratory, folder=folder / "results", keys=keys
            )


def original(mail: EmailMessage) -> bytes:
    """The file that came, as it came."""
    found = [part for part in mail.walk() if part.get_filename() == "uitslag.edi"]
    return found[0].get_payload(decode=True)


def test_by_the_html_rule_a_mail_that_can_be_read_arrives_with_the_original(stage):
    stage.post(ANNA)
    octets = stage.octets(ANNA)
    mail = message_from_bytes(octets, policy=default)
    page = mail.get_body(("html",)).get_content()
    assert "<table" in page
    assert mail.get_body(("plain",)) is not None
    assert original(mail) == MEDLAB
    assert (mail["Subject"], mail["Message-ID"]) == ("Uitslag", "<uitslag@noord.example>")
    records = {one["name"].rstrip("."): one["text"].encode() for one in stage.keys["records"]}
    signed = octets.partition(b"\r\n")[2]  # without the Return-Path that the mailbox puts there
    assert dkim.verify(signed, dnsfunc=lambda name, timeout=5: records.get(name.decode().rstrip(".")))
    told = next(event for event in stage.journal(ANNA) if event["kind"] == "transformed")
    assert (told["facts"]["recognised"], told["facts"]["rule"], told["facts"]["messages"]) == (["MEDLAB 1"], "4", 1)


def test_by_the_pdf_rule_it_arrives_as_a_pdf(stage):
    stage.post(BRAM, text="Beste collega")
    mail = stage.arrived(BRAM)
    pdf = next(part for part in mail.walk() if part.get_content_type() == "application/pdf")
    assert pdf.get_payload(decode=True).startswith(b"%PDF-")
    assert original(mail) == MEDLAB
    assert "Beste collega" in str(mail)


def test_by_the_folder_rule_it_is_a_file_and_the_sender_gets_a_receipt(stage):
    stage.post(FILES)
    (file,) = stage.files(1)
    assert re.fullmatch(r"MEDLAB-\w+-\w{16}-1\.edi", file.name)
    assert file.read_bytes() == MEDLAB
    wait_for(
        lambda: any(one.recipients == [LAB] and one.reported == {FILES: "delivered"} for one in stage.sink.receipts),
        "a receipt",
    )


def test_by_the_hl7_rule_it_is_a_file_for_a_laboratory_system(stage):
    stage.post(LIMS)
    mail = stage.arrived(LIMS)
    message = next(part for part in mail.walk() if part.get_filename() == "uitslag-1.hl7").get_payload(decode=True)
    assert message.startswith(b"MSH|")
    assert b"|ORU^R01" in message
    assert original(mail) == MEDLAB


def test_what_came_with_the_file_is_written_too(stage):
    before = set(stage.folder.iterdir())
    stage.post(FILES, text="Beste collega")
    files = [path for path in stage.files(len(before) + 2) if path not in before]
    assert {path.suffix for path in files} == {".edi", ".eml"}
    assert b"Beste collega" in next(path for path in files if path.suffix == ".eml").read_bytes()


def test_what_is_broken_arrives_all_the_same(stage):
    before = stage.count(ANNA)
    stage.post(ANNA, leaf=MEDLAB[:400] + b"\xff\xfe<script>" + b"'" * 500)
    mail = stage.arrived(ANNA, before + 1)
    assert original(mail).startswith(MEDLAB[:400])


def test_somebody_outside_reads_it_in_the_viewer(stage):
    stage.post(PATIENT, subject="Uitslag [sms:+31612345678]")
    wait_for(lambda: any(PATIENT in one.recipients for one in stage.sink.receipts), "a notification")
    letter = next(stage.sink.content(one) for one in stage.sink.receipts if PATIENT in one.recipients)
    text = letter.replace(b"=\r\n", b"").decode().replace("=3D", "=")
    with Browser() as browser:
        browser.open(re.search(rf"{re.escape(stage.site.viewer_url)}/v/[\w-]+", text)[0])
        browser.submit(browser.forms[0])
        wait_for(stage.site.sms.exists, "an SMS")
        code = re.search(r"#(\d{6})$", json.loads(stage.site.sms.read_text().splitlines()[-1])["text"])[1]
        form = next(form for form in browser.forms if "code" in form.open_fields)
        browser.submit(form, code=code)
        assert "uitslag.edi" in browser.text
        browser.open(f"{browser.url}/body")
        assert "10:15" in browser.text


def test_by_its_number_it_finds_the_mailbox_and_an_unknown_one_is_told(stage):
    before = stage.count(ANNA)
    with stage.relayd.hospital() as client:
        assert say(client, LAB, [f"edi@{GATEWAY}"], stage.mail(f"edi@{GATEWAY}"))[0] == 250
        assert say(client, LAB, [f"500000002@{GATEWAY}"], stage.mail("x"))[0] == 250
        code, text = say(client, LAB, [f"500000009@{GATEWAY}"], stage.mail("x"))
        assert (code, "500000009" in text) == (550, True)
        client.rset()
        unknown = stage.mail("x", leaf=MEDLAB.replace(b"500000002", b"500000009"))
        code, text = say(client, LAB, [f"edi@{GATEWAY}"], unknown)
        assert (code, "500000009" in text) == (550, True)
    assert original(stage.arrived(ANNA, before + 2)) == MEDLAB


def test_explain_says_which_rule_it_meets(stage, tmp_path):
    file = tmp_path / "uitslag.eml"
    file.write_bytes(stage.mail(BRAM))
    pin = stage.site.hospital.pin
    asked = ("explain", file, "--from", LAB, "--client-cert-spki", pin, "--to")
    told = stage.relayd.cli(*asked, BRAM).stdout
    assert "MEDLAB 1: in-box rule 1: pdf" in told
    assert "content: made anew by edi (form pdf, rule 1" in told
    told = stage.relayd.cli(*asked, f"edi@{GATEWAY}").stdout
    assert f"→ {ANNA}" in told
    assert f"{ANNA}: mailbox hosted" in told


def test_a_worker_that_dies_over_a_copy_loses_nothing_and_makes_none_twice(stage):
    before = stage.count(ANNA)
    stage.relayd.stop()
    stage.relayd.start({"RELAYD_FAILPOINT": "copy-made"})
    with stage.relayd.hospital() as client:
        assert say(client, LAB, [ANNA], stage.mail(ANNA))[0] == 250
    wait_for(lambda: stage.relayd.log.count("status=-9") >= 1, "a death over the copy", 60)
    stage.relayd.kill()
    assert stage.count(ANNA) == before
    stage.relayd.start()
    # What the dead workers owned is free when their lease has run out.
    assert original(stage.arrived(ANNA, before + 1, 90.0)) == MEDLAB
    assert [event["kind"] for event in stage.journal(ANNA)].count("transformed") == 1
    assert stage.relayd.cli("verify", "--deep").returncode == 0
