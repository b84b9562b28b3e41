"""Reports: what RFC 3461 and RFC 3464 ask for, as the standard library's parser reads it."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.dsn import Action, ReportedRecipient, ReportRequest, build_full_report, build_report, wants_report
from relayd.mail.envelope import Notify

BERT = ReportedRecipient(
    "bert@example.org",
    Action.FAILED,
    "5.1.1",
    "rfc822;Bert+2Bx@example.org",
    "mx.example.org",
    "550 5.1.1 No user",
)
REQUEST = ReportRequest(
    "01J", "relay.example", "postmaster@relay.example", "anna@example.nl", (BERT,), 1_800_000_000, 1_800_003_600,
    b"From: anna@example.nl\r\nSubject: secret\r\n", "QQ+2B1",
)  # fmt: skip


def read(report: bytes) -> EmailMessage:
    message = email.message_from_bytes(report, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def fields(report: bytes) -> list[dict[str, str]]:
    blocks = list(read(report).iter_parts())[1].get_payload()
    return [dict(block.items()) for block in blocks]


def test_shape_of_a_failure_report() -> None:
    message = read(build_report(REQUEST))
    assert message.get_content_type() == "multipart/report"
    assert message["content-type"].params["report-type"] == "delivery-status"
    assert message["auto-submitted"] == "auto-replied"
    assert (message["to"], message["message-id"]) == ("anna@example.nl", "<01J@relay.example>")
    text, status, head = message.iter_parts()
    assert [part.get_content_type() for part in (text, status, head)] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers",
    ]  # fmt: skip
    assert "kon niet worden bezorgd" in text.get_content()
    assert "could not be delivered" in text.get_content()
    assert head.get_payload(decode=True) == REQUEST.head


def test_fields_of_a_failure_report() -> None:
    message, recipient = fields(build_report(REQUEST))
    assert message == {
        "Original-Envelope-Id": "QQ+1",
        "Reporting-MTA": "dns; relay.example",
        "Arrival-Date": "Fri, 15 Jan 2027 08:00:00 +0000",
    }
    assert recipient == {
        "Original-Recipient": "rfc822; Bert+x@example.org",
        "Final-Recipient": "rfc822; bert@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 No user",
    }


def test_what_the_remote_never_said_is_not_its_reply() -> None:
    silent = replace(BERT, status="5.4.7", reply="mx.example.org:25: Connection refused")
    report = build_report(replace(REQUEST, recipients=(silent,)))
    assert fields(report)[1]["Diagnostic-Code"] == "x-relayd; mx.example.org:25: Connection refused"
    assert b"    relay.example: mx.example.org:25: Connection refused\r\n" in report
    assert b"reply of" not in report


def test_one_block_per_recipient() -> None:
    late = ReportedRecipient("c@x.nl", Action.DELAYED, "4.4.1", until=1_800_100_000)
    message, *recipients = fields(build_report(replace(REQUEST, recipients=(BERT, late), envid=None)))
    assert "Original-Envelope-Id" not in message
    assert [one["Action"] for one in recipients] == ["failed", "delayed"]
    assert recipients[1]["Will-Retry-Until"] == "Sat, 16 Jan 2027 11:46:40 +0000"
    assert "Remote-MTA" not in recipients[1]
    assert "Original-Recipient" not in recipients[1]


@pytest.mark.parametrize(
    ("action", "status", "reported"),
    [
        (Action.FAILED, "", "5.0.0"),
        (Action.FAILED, "4.4.7", "4.4.7"),
        (Action.FAILED, "2.0.0", "5.0.0"),
        (Action.DELAYED, "5.1.1", "4.0.0"),
        (Action.DELIVERED, "2.1.5", "2.1.5"),
        (Action.RELAYED, "nonsense", "2.0.0"),
    ],
)
def test_status_fits_the_action(action: Action, status: str, reported: str) -> None:
    request = replace(REQUEST, recipients=(replace(BERT, action=action, status=status),))
    assert fields(build_report(request))[1]["Status"] == reported


def test_full_report_surrounds_the_original() -> None:
    original = b"From: anna@example.nl\r\n\r\n--x\r\ncaf\xc3\xa9\r\n"
    before, after = build_full_report(REQUEST)
    part = list(read(before + original + after).iter_parts())[2]
    assert part.get_content_type() == "message/rfc822"
    assert before.endswith(b"\r\n\r\n")
    assert (before + original + after).count(original) == 1


def test_internationalised_report() -> None:
    one = replace(BERT, final="jös@xn--bcher-kva.example", orcpt="utf-8;j\\x{F6}s@b\\x{FC}cher.example")
    report = build_report(replace(REQUEST, recipients=(one,), smtputf8=True))
    assert b"Content-Type: message/global-delivery-status\r\n" in report
    assert "Final-Recipient: utf-8; jös@xn--bcher-kva.example\r\n".encode() in report
    assert "Original-Recipient: utf-8; jös@bücher.example\r\n".encode() in report
    seven_bit = build_report(replace(REQUEST, recipients=(one,)))
    assert seven_bit.isascii()
    assert b"Final-Recipient: utf-8; j\\x{F6}s@xn--bcher-kva.example\r\n" in seven_bit


@given(reply=st.text(), remote=st.text(), final=st.text(), orcpt=st.text(), envid=st.text())
def test_nothing_from_outside_adds_fields(reply: str, remote: str, final: str, orcpt: str, envid: str) -> None:
    one = ReportedRecipient(final, Action.FAILED, "5.0.0", orcpt, remote, reply)
    message, recipient = fields(build_report(replace(REQUEST, recipients=(one,), envid=envid)))
    assert set(message) == {"Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"}
    assert set(recipient) <= {
        "Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (None, {Action.FAILED, Action.DELAYED}),
        (frozenset({Notify.NEVER}), set()),
        (frozenset({Notify.FAILURE}), {Action.FAILED}),
        (frozenset({Notify.DELAY}), {Action.DELAYED}),
        (frozenset({Notify.SUCCESS}), {Action.DELIVERED, Action.RELAYED}),
    ],
)
def test_notify_decides(notify: frozenset[Notify] | None, wanted: set[Action]) -> None:
    assert {action for action in Action if wants_report(notify, action)} == wanted
