"""BDAT: the message in chunks of announced length (RFC 3030 §2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from relayd.mail.reply import Reply
from relayd.smtp import replies
from relayd.smtp.data import ChunkReader, skip
from relayd.smtp.failure import reply_to
from relayd.smtp.incoming import Incoming
from relayd.smtp.verbs.data import finish
from relayd.smtp.wire import Hangup

if TYPE_CHECKING:
    from relayd.smtp.server import Session

_ARGUMENT: Final = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)


async def command(session: Session, argument: str) -> Reply:
    match = _ARGUMENT.fullmatch(argument)
    if not match:
        # How many octets follow can't be known, and taking them for commands would be smuggling.
        raise Hangup(replies.BAD_ARGUMENT)
    length, last = int(match[1]), match[2] is not None
    incoming = session.incoming
    refusal = _out_of_order(incoming) or (_begin(session, incoming) if incoming else None)
    if incoming is None or incoming.chunks is None or refusal is not None:
        if length > session.service.limits.message_size:
            raise Hangup(refusal)
        await skip(session.wire, length)
        return refusal or replies.MAIL_FIRST
    return await _take(session, incoming, incoming.chunks, length, last=last)


def _out_of_order(incoming: Incoming | None) -> Reply | None:
    if incoming is None:
        return replies.MAIL_FIRST
    return None if incoming.recipients else replies.NO_RECIPIENTS


def _begin(session: Session, incoming: Incoming) -> Reply | None:
    """Ask the door at the first chunk. Its refusal must not leave the chunk unread."""
    if incoming.chunks is not None:
        return None
    try:
        incoming.chunks = ChunkReader(incoming.receive(session.service.limits))
    except Exception as error:
        session.reset()
        return reply_to(error, "BDAT")
    return None


async def _take(session: Session, incoming: Incoming, chunks: ChunkReader, length: int, *, last: bool) -> Reply:
    await chunks.read(session.wire, length)
    if last:
        chunks.finish()
    if chunks.content.refusal is not None:
        session.reset()
        return chunks.content.refusal
    if not last:
        return Reply(250, "2.0.0", f"{length} octets received")
    try:
        return await finish(session, incoming, chunks.content)
    finally:
        session.reset()
