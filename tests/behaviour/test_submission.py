"""People's mail clients: ports 587 and 465, a mailbox hosted here, and mail to a partner."""

from __future__ import annotations

import smtplib

import pytest

from tests.kit import mail
from tests.kit.swaks import available, swaks
from tests.kit.talk import ANNA, BRAM, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour


def in_maildir(stage, content: bytes):
    """The file with this message, once it is there."""
    name = mail.message_id_of(content).encode()

    def find():
        files = [path for path in stage.site.maildir.rglob("*") if path.is_file() and path.parent.name == "new"]
        return next((path for path in files if name in path.read_bytes()), None)

    return wait_for(find, "mail in the Maildir")


def test_submitted_mail_reaches_a_hosted_mailbox(stage):
    content = mail.message(ANNA, [BRAM])
    with stage.relayd.submission(ANNA) as client:
        code, _ = say(client, ANNA, [BRAM], content)
    assert code == 250
    assert content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") in in_maildir(stage, content).read_bytes().replace(
        b"\r\n", b"\n"
    )


def test_implicit_tls_takes_a_login_too(stage):
    content = mail.message(ANNA, ["collega@partner.example"])
    context = stage.relayd.client_context()
    with smtplib.SMTP_SSL("127.0.0.1", stage.site.submissions_port, context=context) as client:
        client.login(ANNA, stage.site.accounts[ANNA])
        assert say(client, ANNA, ["collega@partner.example"], content)[0] == 250
    receipt = stage.partner.wait_for_receipt(mail.message_id_of(content))
    assert receipt.tls in ("TLSv1.2", "TLSv1.3")
    assert receipt.sender == ANNA


def test_what_a_mail_client_left_out_is_added(stage):
    with stage.relayd.submission(ANNA) as client:
        body = f"From: {ANNA}\r\nTo: zonder@partner.example\r\nSubject: x\r\n\r\nx\r\n".encode()
        assert say(client, ANNA, ["zonder@partner.example"], body)[0] == 250
    receipt = stage.partner.wait_for_receipt("zonder@partner.example")
    head = stage.partner.content(receipt).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\ndate: " in head
    assert b"\r\nmessage-id: <" in head


def test_a_wrong_password_is_refused(stage):
    with (
        pytest.raises(smtplib.SMTPAuthenticationError) as refused,
        stage.relayd.submission(BRAM, "not his"),
    ):
        pass
    assert refused.value.smtp_code == 535


def test_login_is_not_offered_outside_tls(stage):
    with smtplib.SMTP("127.0.0.1", stage.site.submission_port) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] in (530, 538)


@pytest.mark.skipif(bool(available()), reason=available())
def test_swaks_submits(stage):
    said = swaks(
        stage.site.submission_port,
        *("--tls", "--auth-user", ANNA, "--auth-password", stage.site.accounts[ANNA]),
        *("--from", ANNA, "--to", "swaks@partner.example"),
    )
    assert said.status == 0, said.text
    assert stage.partner.wait_for_receipt("swaks@partner.example")
