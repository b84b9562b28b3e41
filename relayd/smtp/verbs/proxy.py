"""A PROXY header that reaches the session came from an address that may not send one: see ``smtp.proxy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayd.mail.reply import Reply
from relayd.smtp import replies
from relayd.smtp.wire import Hangup

if TYPE_CHECKING:
    from relayd.smtp.server import Session


async def command(session: Session, argument: str) -> Reply:
    raise Hangup(replies.PROXY_REFUSED)
