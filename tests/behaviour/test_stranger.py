"""Nobody relays who may not: a stranger reaches the domains served here, and nothing else, under no name of ours."""

from __future__ import annotations

import smtplib

import pytest

from tests.kit import mail
from tests.kit.talk import ANNA, DOCTOR, say

pytestmark = pytest.mark.behaviour
STRANGER = "someone@stranger.example"


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        (STRANGER, "victim@outside.example"),
        (DOCTOR, "victim@outside.example"),
        (DOCTOR, "collega@partner.example"),
        (ANNA, "victim@outside.example"),
        ("", "victim@outside.example"),
        (STRANGER, '"victim@outside.example"@stranger.example'),
        (STRANGER, "victim%outside.example@stranger.example"),
    ],
)
def test_a_stranger_cannot_relay(stage, sender, recipient):
    with stage.relayd.stranger() as client:
        code, text = say(client, sender, [recipient], mail.message(sender or STRANGER, [recipient]))
    assert 500 <= code < 600
    assert text.startswith("5.")


def test_a_stranger_reaches_a_mailbox_served_here(stage):
    content = mail.message(STRANGER, [ANNA])
    with stage.relayd.stranger() as client:
        code, _ = say(client, STRANGER, [ANNA], content)
    assert code == 250


def test_a_stranger_cannot_borrow_a_members_name_in_from(stage):
    with stage.relayd.stranger() as client:
        code, _ = say(client, STRANGER, [ANNA], mail.message(DOCTOR, [ANNA]))
    assert 500 <= code < 600


def test_a_recognised_server_without_tls_is_told_to_use_it(stage):
    with stage.relayd.stranger(tls=False) as client:
        code, text = say(client, DOCTOR, ["collega@partner.example"], b"Subject: x\r\n\r\nx\r\n")
    assert 500 <= code < 600, text


def test_submission_without_login_is_refused(stage):
    with smtplib.SMTP("127.0.0.1", stage.site.submission_port) as client:
        client.starttls(context=stage.relayd.client_context())
        code, text = say(client, ANNA, [ANNA], b"x")
    assert (code, text[:5]) == (530, "5.7.0")


def test_a_person_may_not_send_as_another(stage):
    with stage.relayd.submission(ANNA) as client:
        code, _ = say(client, "bram@praktijk.example", [DOCTOR], b"Subject: x\r\n\r\nx\r\n")
    assert 500 <= code < 600
