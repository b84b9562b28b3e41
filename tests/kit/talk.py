"""One transaction as a mail server or client has it, and the people of the test site who have them."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence

DOCTOR = "dokter@noord.example"
COLLEAGUE = "collega@partner.example"
ANNA, BRAM = "anna@praktijk.example", "bram@praktijk.example"


def say(client: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes) -> tuple[int, str]:
    """MAIL, RCPT and DATA, to the end or to the first refusal: the reply that decided it."""
    client.ehlo_or_helo_if_needed()
    code, text = client.mail(sender)
    for recipient in recipients:
        if code < 400:
            code, text = client.rcpt(recipient)
    if code < 400:
        try:
            code, text = client.data(content)
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error
    return code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def begin(client: smtplib.SMTP, *commands: str) -> None:
    """EHLO and these commands, each of which gets its 250."""
    client.ehlo()
    for command in commands:
        code, text = client.docmd(command)
        assert code == 250, text


def data(client: smtplib.SMTP, recipient: str = COLLEAGUE) -> None:
    """A transaction as far as the 354."""
    begin(client, f"MAIL FROM:<{DOCTOR}>", f"RCPT TO:<{recipient}>")
    assert client.docmd("DATA")[0] == 354
