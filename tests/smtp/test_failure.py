"""What a peer is told and what the operator is told when something fails."""

from __future__ import annotations

from structlog.testing import capture_logs

from relayd.errors import KeyUnavailable, SmtpError
from relayd.mail.reply import Reply
from relayd.smtp.failure import reply_to


def test_the_reason_of_a_451_is_in_the_log_and_not_in_the_reply() -> None:
    error = SmtpError(Reply(451, "4.3.0", "Try again later"), "vault")
    error.__cause__ = KeyUnavailable("/keys/epochs isn't there any more; is its file system mounted?")
    with capture_logs() as logs:
        reply = reply_to(error, "DATA")
    assert reply.text == "Try again later"
    [line] = logs
    assert (line["event"], line["component"], line["verb"]) == ("trouble", "vault", "DATA")
    assert "is its file system mounted?" in line["reason"]


def test_an_unknown_exception_is_a_reference_in_both_and_its_text_in_none() -> None:
    with capture_logs() as logs:
        reply = reply_to(RuntimeError("canary"), "RCPT")
    assert (reply.code, reply.enhanced) == (451, "4.3.0")
    assert "canary" not in reply.text
    assert logs[0]["ref"] in reply.text
