"""A message that its reader passes on: a few words in front, then the original as it is, streamed from its sealed
body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage, MIMEPart
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from relayd.mail.address import Address
from relayd.mail.composing import POLICY, UTF8_POLICY
from relayd.mail.headers import split_fields
from viewer_web.access import Opened


@dataclass(frozen=True, slots=True)
class Forward:
    """What goes into the header. ``author`` is an address of ours; answers go to ``reader``, the one who passes it
    on."""

    author: Address
    name: str
    via: str
    reader: str
    to: Address
    subject: str
    message_id: str
    now: float


async def content(forward: Forward, opened: Opened, words: str, boundary: str) -> AsyncIterator[bytes]:
    """The message in blocks. Its second part is the original's content with the header fields that describe it."""
    text = MIMEPart(POLICY)
    text.set_content(words, charset="utf-8", cte="quoted-printable")
    yield _head(forward).as_bytes().rstrip(b"\r\n") + b"\r\n"
    yield f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'.encode()
    yield text.as_bytes() + f"\r\n--{boundary}\r\n".encode()
    head = opened.body.head
    yield b"".join(one for one in split_fields(head) if one.lower().startswith(b"content-")) + b"\r\n"
    async for block in opened.body.blocks(len(head) + 2):
        yield block
    yield f"\r\n--{boundary}--\r\n".encode()


def _head(forward: Forward) -> EmailMessage:
    international = not str(forward.to).isascii() or not forward.reader.isascii()
    mail = EmailMessage(policy=UTF8_POLICY if international else POLICY)
    author = forward.author
    mail["From"] = HeaderAddress(f"{forward.name} via {forward.via}", username=author.local, domain=author.domain)
    # Answers belong to the person, and not to an address of ours: whoever got it isn't known to the organisation.
    mail["Reply-To"] = HeaderAddress(
        username=forward.reader.rpartition("@")[0], domain=forward.reader.rpartition("@")[2]
    )
    mail["To"] = HeaderAddress(username=forward.to.local, domain=forward.to.domain)
    mail["Subject"] = forward.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(forward.now, ZoneInfo("UTC")))
    mail["Message-ID"] = f"<{forward.message_id}@{author.domain}>"
    mail["MIME-Version"] = "1.0"
    return mail
