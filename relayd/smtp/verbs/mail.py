"""MAIL FROM: begins a transaction (RFC 5321 §4.1.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import Envelope, Listener
from relayd.mail.parameters import UnknownParameter, parse_mail_parameters
from relayd.mail.path import parse_reverse_path
from relayd.mail.reply import Reply
from relayd.smtp import replies
from relayd.smtp.incoming import Incoming

if TYPE_CHECKING:
    from relayd.smtp.server import Session

_ACCEPTED: Final = Reply(250, "2.1.0", "Sender accepted")
_BAD_SENDER: Final = Reply(501, "5.1.7", "Sender address not understood; write MAIL FROM:<user@domain>")
_BAD_PARAMETER: Final = Reply(501, "5.5.4", "Parameter of MAIL not understood")
_UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter of MAIL not supported")


async def command(session: Session, argument: str) -> Reply:
    envelope = _parse(session, argument)
    if isinstance(envelope, Reply):
        return envelope
    transaction = await session.door.mail(session.peer, envelope)
    session.incoming = Incoming(transaction, envelope)
    return _ACCEPTED


def _parse(session: Session, argument: str) -> Envelope | Reply:
    refusal = _out_of_order(session)
    if refusal is not None:
        return refusal
    if argument[:5].upper() != "FROM:":
        return _BAD_SENDER
    try:
        sender, rest = parse_reverse_path(argument[5:], smtputf8=True)
    except SyntaxInvalid:
        return _BAD_SENDER
    if rest and not session.peer.esmtp:
        return replies.NEEDS_EHLO
    try:
        given = parse_mail_parameters(rest)
    except UnknownParameter:
        return _UNKNOWN_PARAMETER
    except SyntaxInvalid:
        return _BAD_PARAMETER
    if given.require_tls and session.peer.tls is None:
        return _UNKNOWN_PARAMETER  # RFC 8689 §2: offered inside TLS only
    if not argument.isascii() and not given.smtputf8:
        return replies.NEEDS_SMTPUTF8  # RFC 6531 §3.5
    if given.size is not None and given.size > session.service.limits.message_size:
        return replies.too_large(session.service.limits.message_size)
    return Envelope(
        sender,
        size=given.size,
        body=given.body,
        smtputf8=given.smtputf8,
        ret=given.ret,
        envid=given.envid,
        auth=given.auth,
        require_tls=given.require_tls,
    )


def _out_of_order(session: Session) -> Reply | None:
    service, peer = session.service, session.peer
    if not peer.helo:
        return replies.HELO_FIRST
    if session.incoming is not None:
        return replies.IN_TRANSACTION
    submission = service.kind is Listener.SUBMISSION
    if peer.tls is None and (submission or service.settings.require_tls):
        return replies.NEEDS_TLS  # RFC 3207 §4
    if submission and peer.account is None:
        return replies.NEEDS_LOGIN  # RFC 6409 §4.3, RFC 4954 §6
    return None
