"""Messages to send, as octets with CRLF line ends."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid

LAB_RESULT = "Beste collega,\n\nDe uitslag van mevrouw Jansen (nat\u00fcrlich \u00e9\u00e9n) is binnen.\n"


def message(
    sender: str,
    recipients: Sequence[str],
    subject: str = "Uitslag",
    text: str = LAB_RESULT,
    *,
    attachments: Mapping[str, bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    message_id: str = "",
    to: str | None = None,
) -> bytes:
    """A message with text and attachments. ``to`` overrides the To header; "" leaves it out (Bcc)."""
    mail = EmailMessage()
    mail["From"] = sender
    shown = ", ".join(recipients) if to is None else to
    if shown:
        mail["To"] = shown
    mail["Subject"] = subject
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = message_id or make_msgid(domain=sender.rpartition("@")[2])
    for name, value in (headers or {}).items():
        mail[name] = value
    mail.set_content(text)
    for name, content in (attachments or {}).items():
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes(policy=SMTP)


def message_id_of(content: bytes) -> str:
    """The Message-ID of something that :func:`message` made."""
    for line in content.split(b"\r\n"):
        if line.lower().startswith(b"message-id:"):
            return line.split(b":", 1)[1].strip().decode()
        if not line:
            break
    raise ValueError("no Message-ID")


def zipped(name: str, content: bytes = b"MZ\x90\x00 not really a program") -> bytes:
    """A zip archive with one file in it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return archive.getvalue()


def plain(message_id: str, sender: str, to: str, size: int, extra: str = "") -> bytes:
    """A message of about ``size`` octets of lines that don't compress: the load of bench and crash."""
    fields = [f"From: {sender}", f"To: {to}", "Subject: load", f"Date: {formatdate()}", f"Message-ID: {message_id}"]
    head = "\r\n".join([*fields, extra, ""])
    lines = os.urandom(max(1, (size - len(head)) // 2)).hex()
    body = "\r\n".join(lines[at : at + 74] for at in range(0, len(lines), 74))
    return (head + body + "\r\n").encode()
