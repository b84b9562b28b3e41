"""The mail that carries a report (RFC 8460 §5.3, RFC 9990). The composer signs it for its From domain."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Final

from relayd.mail.composing import POLICY
from relayd.mail.received import format_date
from relayd.reporting.counts import Kind
from relayd.reporting.heading import Heading

_TEXTS: Final = {
    Kind.TLS: "This is an aggregate report on TLS in SMTP (RFC 8460)",
    Kind.DMARC: "This is an aggregate report on DMARC (RFC 9990)",
}


def report_mail(heading: Heading, report: bytes, recipient: str, message_id: str, now: float) -> bytes:
    """The message to ``recipient`` with ``report``, which is compressed already."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = heading.sender
    mail["To"] = recipient
    mail["Subject"] = f"Report Domain: {heading.domain} Submitter: {heading.submitter} Report-ID: <{heading.id}>"
    mail["Date"] = format_date(now)
    mail["Message-ID"] = f"<{message_id}@{heading.submitter}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
    if heading.kind is Kind.TLS:
        mail["TLS-Report-Domain"] = heading.domain
        mail["TLS-Report-Submitter"] = heading.submitter
        # RFC 8460 §5.3: the trouble that it reports must not keep it back; RFC 8689 §3 says so to whoever passes it on.
        mail["TLS-Required"] = "No"
    span = f"of {heading.submitter} for {heading.domain}, {heading.day} (UTC)."
    mail.set_content(f"{_TEXTS[heading.kind]}\n{span}\n", cte="7bit")
    main, _, sub = heading.media_type.partition("/")
    mail.add_attachment(report, maintype=main, subtype=sub, filename=heading.filename)
    if heading.kind is Kind.TLS:
        mail.set_type("multipart/report")
        mail.set_param("report-type", "tlsrpt")
    return mail.as_bytes()
