"""VRFY and EXPN: nobody learns here which addresses exist (RFC 5321 §7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayd.mail.reply import Reply
from relayd.smtp import replies

if TYPE_CHECKING:
    from relayd.smtp.server import Session


async def command(session: Session, argument: str) -> Reply:
    if not argument:
        return replies.BAD_ARGUMENT
    return Reply(252, "2.0.0", "Addresses aren't verified here; send the message and see")


async def expand(session: Session, arg: str) -> Reply:
    return replies.NOT_IMPLEMENTED
