"""DATA: the message, ended by a line with a single dot (RFC 5321 §4.1.1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayd.mail.reply import Reply
from relayd.smtp import replies
from relayd.smtp.data import Content, read_data
from relayd.smtp.incoming import Incoming

if TYPE_CHECKING:
    from relayd.smtp.server import Session

_START: Final = replies.START_INPUT.encode()


async def command(session: Session, argument: str) -> Reply:
    session.in_step()
    if argument:
        return replies.NO_ARGUMENT_ALLOWED
    incoming = session.incoming
    if incoming is None:
        return replies.MAIL_FIRST
    if incoming.chunks is not None:
        return replies.CHUNKS_BEGUN  # RFC 3030 §2
    if not incoming.recipients:
        return replies.NO_RECIPIENTS
    try:
        content = incoming.receive(session.service.limits)
        session.wire.write(_START)
        await read_data(session.wire, content)
        return content.refusal or await finish(session, incoming, content)
    finally:
        session.reset()


async def finish(session: Session, incoming: Incoming, content: Content) -> Reply:
    """The whole message is here: the door judges, makes it durable and answers."""
    session.wire.flush()
    reply = await incoming.commit(content)
    if reply.positive:
        session.forgive()
    return reply
