"""A notification that can't be delivered reaches the sender as a failure report; whoever forges one reaches nobody."""

from __future__ import annotations

import re
import smtplib
from email import message_from_bytes
from email.policy import SMTP

import pytest

from tests.kit import mail
from tests.kit.site import HOSTNAME
from tests.kit.talk import DOCTOR, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour
MOBILE = "+31612345678"
OURS = f"replies.{HOSTNAME}"

REPORT = """\
From: MAILER-DAEMON@outside.example
To: {to}
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=R

--R
Content-Type: text/plain

Sorry.
--R
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.outside.example

Final-Recipient: rfc822; {about}
Action: {action}
Status: 5.2.1
Diagnostic-Code: smtp; 550 5.2.1 mailbox disabled

--R--
"""


def send(stage, address: str) -> None:
    content = mail.message(DOCTOR, [address], "Uitslag", "Geheim.", headers={"X-Relayd-Mobile": f"{address}; {MOBILE}"})
    with stage.relayd.hospital() as client:
        assert say(client, DOCTOR, [address], content)[0] == 250


def reports(stage, about: str) -> list[str]:
    """The failure reports to the doctor about this recipient."""
    texts = [stage.partner.content(one).decode() for one in stage.partner.receipts if DOCTOR in one.recipients]
    return [text for text in texts if f"Final-Recipient: rfc822; {about}" in text]


def return_path(stage, address: str) -> str:
    """Where a report on the notification for this address goes."""
    return wait_for(
        lambda: next((r.sender for r in stage.partner.receipts if address in r.recipients), None), "a notification"
    )


def kinds(stage, address: str) -> list[str]:
    found = stage.relayd.json("message", "find", "--recipient", address, "--sender", DOCTOR)
    shown = stage.relayd.json("message", "show", found[0]["id"])
    return [event["kind"] for event in shown["journal"]]


def deliver(stage, to: str, content: str, sender: str = "") -> tuple[int, str]:
    """As a stranger's mail server does."""
    with smtplib.SMTP("127.0.0.1", stage.site.relay_port) as client:
        return say(client, sender, [to], content.replace("\n", "\r\n").encode())


def test_refused_at_once(stage):
    address = "refuse-patient@outside.example"
    send(stage, address)
    wait_for(lambda: reports(stage, address), "a failure report")
    report = message_from_bytes(reports(stage, address)[0].encode(), policy=SMTP)
    assert report.get_content_type() == "multipart/report"
    assert "Action: failed" in report.as_string()
    assert "Geheim" not in report.as_string()
    assert "notification-failed" in kinds(stage, address)


def test_refused_later_by_a_report_from_outside(stage):
    address = "later-patient@outside.example".replace("later", "bounced")
    send(stage, address)
    path = return_path(stage, address)
    assert re.fullmatch(rf"n\.[a-z2-7]{{26}}@{re.escape(OURS)}", path)
    assert deliver(stage, path, REPORT.format(to=path, about=address, action="failed"))[0] == 250
    wait_for(lambda: reports(stage, address), "a failure report")
    assert "5.2.1" in reports(stage, address)[0]
    # The same once more says nothing new.
    assert deliver(stage, path, REPORT.format(to=path, about=address, action="failed"))[0] == 250
    other = "after-that@outside.example"
    send(stage, other)
    return_path(stage, other)
    assert kinds(stage, address).count("notification-failed") == 1
    assert len(reports(stage, address)) == 1


@pytest.mark.parametrize(
    ("about", "action"), [("somebody@else.example", "failed"), ("{own}", "delayed"), ("{own}", "delivered"), ("", "")]
)
def test_a_report_about_somebody_else_or_nothing_is_ignored(stage, about, action):
    address = f"safe-{action or 'none'}-{len(about)}@outside.example"
    send(stage, address)
    path = return_path(stage, address)
    content = REPORT.format(to=path, about=about.format(own=address), action=action)
    assert deliver(stage, path, content)[0] == 250
    wait_for(lambda: _is_read(stage, path), "the report to be read")
    assert "notification-failed" not in kinds(stage, address)
    assert not reports(stage, address)


def _is_read(stage, path: str) -> bool:
    answer = stage.relayd.cli("message", "find", "--recipient", path, "--json", check=False)
    return answer.returncode == 0 and '"delivered"' in answer.stdout


def test_forged_ones_are_refused_at_the_door(stage):
    unknown = f"n.{'a' * 26}@{OURS}"
    assert deliver(stage, unknown, REPORT.format(to=unknown, about="x@y.example", action="failed"))[0] == 550
    address = "forged@outside.example"
    send(stage, address)
    path = return_path(stage, address)
    content = REPORT.format(to=path, about=address, action="failed")
    assert deliver(stage, path, content, sender="mallory@evil.example")[0] == 550
    assert "notification-failed" not in kinds(stage, address)
