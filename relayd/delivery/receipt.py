"""The read receipt (message disposition notification, RFC 8098) that a sender asked for."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from relayd.mail.address import parse_address
from relayd.mail.composing import POLICY, UTF8_POLICY, message_ids


def read_receipt(
    *,
    hostname: str,
    author: str,
    to: str,
    recipient: str,
    message_id: str,
    subject: str,
    words: str,
    now: float,
    id: str,
) -> bytes:
    """A multipart/report that says: displayed. ``message_id`` is the original's, with its brackets; ``words`` say the
    same to a person. Nothing of the content is in it (RFC 8098 §3)."""
    mail = EmailMessage(policy=POLICY if to.isascii() and recipient.isascii() else UTF8_POLICY)
    address = parse_address(to)
    mail["From"] = HeaderAddress("", addr_spec=author)
    mail["To"] = HeaderAddress(username=address.local, domain=address.domain)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, ZoneInfo("UTC")))
    mail["Message-ID"] = f"<{id}@{hostname}>"
    mail["Auto-Submitted"] = "auto-replied"  # RFC 8098 §2.1
    original = message_ids(message_id)[:1]
    if original:
        mail["In-Reply-To"] = mail["References"] = original[0]
    mail["MIME-Version"] = "1.0"
    mail["Content-Type"] = 'multipart/report; report-type="disposition-notification"'
    text = EmailMessage(policy=POLICY)
    text.set_content(words, charset="utf-8", cte="quoted-printable")
    facts = EmailMessage(policy=POLICY)
    lines = [
        f"Reporting-UA: {hostname}; relayd",
        f"Final-Recipient: rfc822; {recipient}",
        *(f"Original-Message-ID: {one}" for one in original),
        # Shown to whoever proved to be the reader; the organisation, not the reader, decided that senders hear of it.
        "Disposition: automatic-action/MDN-sent-automatically; displayed",
    ]
    facts["Content-Type"] = "message/disposition-notification"
    facts.set_payload("\r\n".join(lines) + "\r\n")
    mail.attach(text)
    mail.attach(facts)
    return mail.as_bytes()
