"""The mail that a reader's answer becomes: one MIME message, streamed from text and sealed files.

Its author is an address of ours that stands for the reader (RFC 5322 §3.6.2); the text says who he is. It joins the
sender's thread by In-Reply-To and References (§3.6.4).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage, MIMEPart
from email.utils import format_datetime, getaddresses
from typing import Final
from zoneinfo import ZoneInfo

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Address, parse_address
from relayd.mail.body import Body
from relayd.mail.composing import POLICY, UTF8_POLICY, Base64Lines, message_ids
from relayd.mail.headers import Headers
from viewer_web.drafts import Attached

#: Message-IDs in References; the first and the latest count (RFC 5322 allows all, programs don't).
_REFERENCES: Final = 20
_RE: Final = re.compile(r"(?:re|antw|aw|sv)\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes into the header. ``author`` is our address for the reader, ``name`` his, ``via`` the organisation's."""

    author: Address
    name: str
    via: str
    to: Address
    subject: str
    message_id: str
    in_reply_to: str
    references: str
    now: float


def reply_to(
    headers: Headers, *, author: Address, name: str, via: str, to: Address, message_id: str, now: float
) -> Reply:
    """The answer to the message with ``headers``. ``message_id`` is without its brackets."""
    original = message_ids(headers.text("message-id"))[:1]
    earlier = message_ids(headers.text("references")) or message_ids(headers.text("in-reply-to"))[:1]
    chain = [one for one in earlier if one not in original] + original
    if len(chain) > _REFERENCES:
        chain = chain[:1] + chain[1 - _REFERENCES :]
    subject = " ".join(headers.text("subject").split())
    while found := _RE.match(subject):
        subject = subject[found.end() :]
    return Reply(author, name, via, to, f"Re: {subject}", message_id, "".join(original), " ".join(chain), now)


def name_of(headers: Headers, recipient: str) -> str:
    """The name that the sender has for this recipient (in To or Cc), else the address."""
    try:
        key = parse_address(recipient).key
    except SyntaxInvalid:
        return recipient
    for name, address in getaddresses([headers.text("to"), headers.text("cc")]):
        try:
            if name.strip() and parse_address(address).key == key:
                return " ".join(name.split())[:100]
        except SyntaxInvalid:
            continue
    return recipient


async def content(
    reply: Reply, text: str, files: Sequence[tuple[Attached, Body]], boundary: str
) -> AsyncIterator[bytes]:
    """The message in blocks. ``boundary`` is random, so that no file can hold it."""
    words = MIMEPart(POLICY)
    words.set_content(text, charset="utf-8", cte="quoted-printable")
    # The header's last line and what follows: an EmailMessage would complete a multipart that it believes to be empty.
    head = _head(reply).as_bytes().rstrip(b"\r\n") + b"\r\n"
    if not files:
        yield head + words.as_bytes()
        return
    yield head + f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    yield f"--{boundary}\r\n".encode() + words.as_bytes() + b"\r\n"
    for file, body in files:
        yield f"--{boundary}\r\n".encode() + _part_head(file)
        async for block in _base64(body):
            yield block
    yield f"--{boundary}--\r\n".encode()


def _head(reply: Reply) -> EmailMessage:
    mail = EmailMessage(policy=POLICY if str(reply.to).isascii() else UTF8_POLICY)
    mail["From"] = HeaderAddress(
        f"{reply.name} via {reply.via}", username=reply.author.local, domain=reply.author.domain
    )
    mail["To"] = HeaderAddress(username=reply.to.local, domain=reply.to.domain)
    mail["Subject"] = reply.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(reply.now, ZoneInfo("UTC")))
    mail["Message-ID"] = f"<{reply.message_id}@{reply.author.domain}>"
    if reply.in_reply_to:
        mail["In-Reply-To"] = reply.in_reply_to
        mail["References"] = reply.references
    mail["MIME-Version"] = "1.0"
    return mail


def _part_head(file: Attached) -> bytes:
    part = MIMEPart(POLICY)
    part["Content-Type"] = file.type
    part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=file.name)
    return part.as_bytes().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


async def _base64(body: Body) -> AsyncIterator[bytes]:
    lines = Base64Lines()
    async for block in body.blocks():
        yield lines.feed(block)
    yield lines.finish()
