"""HELP (RFC 5321 §4.1.1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayd.mail.reply import Reply

if TYPE_CHECKING:
    from relayd.smtp.server import Session


async def command(session: Session, argument: str) -> Reply:
    return Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT")
