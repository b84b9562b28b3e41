"""RSET: forget the transaction (RFC 5321 §4.1.1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayd.mail.reply import Reply
from relayd.smtp import replies

if TYPE_CHECKING:
    from relayd.smtp.server import Session


async def command(session: Session, argument: str) -> Reply:
    if argument:
        return replies.NO_ARGUMENT_ALLOWED
    session.reset()
    return replies.OK
