"""RCPT TO: names one recipient (RFC 5321 §4.1.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import Recipient
from relayd.mail.parameters import UnknownParameter, parse_rcpt_parameters
from relayd.mail.path import NeedsSmtputf8, parse_forward_path
from relayd.mail.reply import Reply
from relayd.smtp import replies

if TYPE_CHECKING:
    from relayd.smtp.server import Session

_ACCEPTED: Final = Reply(250, "2.1.5", "Recipient accepted")
_BAD_RECIPIENT: Final = Reply(501, "5.1.3", "Recipient address not understood; write RCPT TO:<user@domain>")
_BAD_PARAMETER: Final = Reply(501, "5.5.4", "Parameter of RCPT not understood")
_UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter of RCPT not supported")


async def command(session: Session, argument: str) -> Reply:
    incoming = session.incoming
    if incoming is None:
        return replies.MAIL_FIRST
    if incoming.chunks is not None:
        return replies.CHUNKS_BEGUN
    if len(incoming.recipients) >= session.service.limits.recipients:
        return replies.TOO_MANY_RECIPIENTS  # RFC 5321 §4.5.3.1.10
    recipient = _parse(session, argument, smtputf8=incoming.envelope.smtputf8)
    if isinstance(recipient, Reply):
        return recipient
    await incoming.add(recipient)
    session.forgive(1)
    return _ACCEPTED


def _parse(session: Session, argument: str, *, smtputf8: bool) -> Recipient | Reply:
    if argument[:3].upper() != "TO:":
        return _BAD_RECIPIENT
    try:
        address, rest = parse_forward_path(argument[3:], smtputf8=smtputf8, hostname=session.service.hostname)
    except NeedsSmtputf8:
        return replies.NEEDS_SMTPUTF8  # RFC 6531 §3.5
    except SyntaxInvalid:
        return _BAD_RECIPIENT
    if rest and not session.peer.esmtp:
        return replies.NEEDS_EHLO
    try:
        given = parse_rcpt_parameters(rest, smtputf8=smtputf8)
    except UnknownParameter:
        return _UNKNOWN_PARAMETER
    except SyntaxInvalid:
        return _BAD_PARAMETER
    return Recipient(address, given.notify, given.orcpt)
