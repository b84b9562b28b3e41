"""Reading a delivery report (RFC 3464) that somebody sent us: what it says of each recipient, within limits."""

from __future__ import annotations

from email import policy
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from typing import Final

import msgspec

from relayd.errors import SyntaxInvalid

#: Larger ones aren't read: a report that returns a whole message of ours has no content to return.
LIMIT: Final = 1024 * 1024
_RECIPIENTS: Final = 50
_WORDS: Final = 300


class Reported(msgspec.Struct, frozen=True):
    """One recipient. ``address`` as the reporter knows it, ``original`` as we wrote it where the report says so;
    ``action`` in lower case, ``status`` such as "5.1.1"."""

    address: str
    original: str
    action: str
    status: str
    diagnostic: str


def read_dsn(content: bytes) -> list[Reported]:
    """Everyone a report is about. Raises SyntaxInvalid for what is no report."""
    if len(content) > LIMIT:
        raise SyntaxInvalid("a report larger than any of ours would be answered with")
    try:
        message = BytesParser(policy=policy.compat32).parsebytes(content)
        if message.get_content_type() != "multipart/report":
            raise SyntaxInvalid("not a multipart/report")
        status = next((part for part in message.walk() if part.get_content_type() in _STATUS_TYPES), None)
    except (MessageError, LookupError, ValueError, RecursionError) as error:
        if isinstance(error, SyntaxInvalid):
            raise
        raise SyntaxInvalid("a report that can't be parsed") from error
    if status is None:
        raise SyntaxInvalid("a report without a delivery-status")
    blocks = status.get_payload()
    if not isinstance(blocks, list):
        raise SyntaxInvalid("a delivery-status without fields")
    # The first block is about the message, every other about one recipient (RFC 3464 §2.1).
    return [_recipient(block) for block in blocks[1 : _RECIPIENTS + 1] if isinstance(block, Message)]


_STATUS_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})


def _recipient(block: Message) -> Reported:
    return Reported(
        address=_typed(block, "Final-Recipient"),
        original=_typed(block, "Original-Recipient"),
        action=_words(block, "Action").lower(),
        status=_words(block, "Status").split(" ")[0],
        diagnostic=_words(block, "Diagnostic-Code").partition(";")[2].strip(),
    )


def _typed(block: Message, name: str) -> str:
    """The address behind "rfc822;"."""
    return _words(block, name).partition(";")[2].strip().strip("<>")


def _words(block: Message, name: str) -> str:
    text = " ".join(str(block.get(name, "")).split())[:_WORDS]
    return "".join(sign if sign.isprintable() else "?" for sign in text)
