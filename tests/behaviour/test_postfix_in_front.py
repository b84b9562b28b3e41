"""A hospital's own Postfix relays through relayd to a partner's Postfix, each leg over TLS that proves who is there."""

from __future__ import annotations

import smtplib

import pytest

from tests.kit import mail, postfix
from tests.kit.daemon import RelayProcess
from tests.kit.postfix import Postfix
from tests.kit.site import HOSTNAME, Site
from tests.kit.swaks import available as swaks_available
from tests.kit.swaks import swaks
from tests.kit.talk import COLLEAGUE, DOCTOR

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(postfix.available()), reason=postfix.available()),
    pytest.mark.skipif(bool(swaks_available()), reason=swaks_available()),
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """(hospital's Postfix, relayd, partner's Postfix)"""
    folder = tmp_path_factory.mktemp("chain")
    site = Site(folder)
    site.relayd["queue"] = {"schedule": ["1s"]}
    with Postfix("mail.partner.example", server=site.partner, domains=["partner.example", "noord.example"]) as partner:
        for domain in ("partner.example", "noord.example"):
            site.domainbook[domain]["next_hops"] = [f"127.0.0.1:{partner.port}"]
        with (
            RelayProcess(site) as relayd,
            Postfix(
                "mail.noord.example",
                relay_to=site.relay_port,
                ca=site.authority.certificate,
                relay_name=HOSTNAME,
                client=site.hospital,
            ) as hospital,
        ):
            yield hospital, relayd, partner


def test_mail_passes_through_with_every_hop_in_its_received_lines(chain):
    hospital, _, partner = chain
    sent = swaks(hospital.port, "--from", DOCTOR, "--to", COLLEAGUE, "--h-Subject", "Uitslag é")
    assert sent.status == 0
    arrived = partner.wait_for_mail(COLLEAGUE).decode()
    received = [line for line in arrived.splitlines() if line.startswith("Received: from")]
    assert len(received) == 3
    assert HOSTNAME in received[0]
    assert "status=sent (250 2.0.0" in hospital.wait_for_log("status=sent")
    assert "ESMTPS" in arrived


def test_a_large_message_arrives_unchanged(chain):
    hospital, _, partner = chain
    attachment = bytes(range(256)) * 8000
    content = mail.message(DOCTOR, ["groot@partner.example"], attachments={"scan.dcm": attachment})
    with smtplib.SMTP("127.0.0.1", hospital.port) as client:
        client.sendmail(DOCTOR, ["groot@partner.example"], content)
    arrived = partner.wait_for_mail("groot@partner.example", 60)
    assert arrived.partition(b"\n\n")[2] == content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


def test_an_address_that_the_partner_refuses_comes_back_as_a_report(chain):
    hospital, _, partner = chain
    swaks(hospital.port, "--from", DOCTOR, "--to", "refuse@partner.example")
    report = partner.wait_for_mail(DOCTOR, 60).decode("utf-8", "replace")
    assert "multipart/report" in report
    assert "5.1.1" in report
    assert "Final-Recipient: rfc822; refuse@partner.example" in report


def test_a_hundred_and_one_recipients_that_postfix_splits_are_refused_altogether(chain):
    hospital, _, partner = chain
    many = [f"x{number}@partner.example" for number in range(101)]
    content = mail.message(DOCTOR, many)
    with smtplib.SMTP("127.0.0.1", hospital.port) as client:
        client.sendmail(DOCTOR, many, content)
    hospital.wait_for_log("550 5.5.3")
    hospital.wait_for_log("to=<x100@partner.example>")
    assert not any(partner.mailbox(address) for address in many)
