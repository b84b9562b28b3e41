"""AUTH: PLAIN, LOGIN and SCRAM-SHA-256, only inside TLS (RFC 4954)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from relayd.errors import SmtpError, SyntaxInvalid
from relayd.mail.reply import Reply
from relayd.smtp import replies, scram
from relayd.smtp.wire import Hangup

if TYPE_CHECKING:
    from relayd.smtp.server import Session

#: Failures that end a session.
_ATTEMPTS: Final = 3
_BAD_RESPONSE: Final = Reply(501, "5.5.2", "Response not understood")

log = structlog.get_logger("relayd.smtp")

#: Carries one mechanism out; the argument is the initial response. The account, or None when the login failed.
_Mechanism = Callable[["Session", bytes | None], Awaitable[str | None]]


async def command(session: Session, argument: str) -> Reply:
    session.in_step()
    refusal = _out_of_order(session)
    if refusal is not None:
        return refusal
    name, _, initial = argument.partition(" ")
    name = name.upper() if name.isascii() else ""
    mechanism = _MECHANISMS.get(name)
    if mechanism is None:
        return replies.UNKNOWN_MECHANISM
    try:
        account = await mechanism(session, _initial(initial.strip(" ")))
    except SyntaxInvalid:
        return _BAD_RESPONSE
    if account is None:
        return _failed(session, name)
    session.peer = replace(session.peer, account=account, account_mechanism=name)
    return Reply(235, "2.7.0", "Authentication successful")


def _out_of_order(session: Session) -> Reply | None:
    peer = session.peer
    if not peer.helo or not peer.esmtp:
        return replies.HELO_FIRST
    if peer.tls is None:
        return replies.LOGIN_NEEDS_TLS
    if peer.account is not None:
        return replies.ALREADY_LOGGED_IN
    return replies.IN_TRANSACTION if session.incoming is not None else None


def _failed(session: Session, mechanism: str) -> Reply:
    log.info("login_failed", peer=str(session.peer.address), mechanism=mechanism)
    session.login_failures += 1
    if session.login_failures >= _ATTEMPTS:
        session.wire.write(replies.LOGIN_FAILED.encode())
        raise Hangup(replies.TOO_MANY_ERRORS)
    return replies.LOGIN_FAILED


def _initial(text: str) -> bytes | None:
    """RFC 4954 §4: "=" is an initial response of no length."""
    if not text:
        return None
    return b"" if text == "=" else _decode(text.encode())


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SyntaxInvalid("not base64") from None


async def _ask(session: Session, challenge: bytes) -> bytes:
    """One challenge and its response."""
    session.wire.write(b"334 " + base64.b64encode(challenge) + b"\r\n")
    line = await session.wire.line()
    if line == b"*":
        raise SmtpError(replies.CANCELLED)
    return _decode(line)


async def _check(session: Session, username: str, password: str) -> str | None:
    credentials = session.door.credentials
    if not await credentials.begin(session.peer, username):
        raise SmtpError(replies.LOGIN_LATER)
    account = await credentials.plain(session.peer, username, password)
    if account is not None:
        await credentials.succeeded(session.peer, username)
    return account


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise SyntaxInvalid("names and passwords are UTF-8") from None


async def _plain(session: Session, initial: bytes | None) -> str | None:
    """RFC 4616. An authorisation identity is accepted only where it repeats the login name."""
    response = await _ask(session, b"") if initial is None else initial
    fields = _text(response).split("\0")
    if len(fields) != 3 or not fields[1] or not fields[2]:
        raise SyntaxInvalid("PLAIN takes three fields")
    authzid, username, password = fields
    if authzid not in ("", username):
        return None
    return await _check(session, username, password)


async def _login(session: Session, initial: bytes | None) -> str | None:
    """The undocumented mechanism that Outlook speaks."""
    username = _text(await _ask(session, b"Username:") if initial is None else initial)
    password = _text(await _ask(session, b"Password:"))
    if not username or not password:
        return None
    return await _check(session, username, password)


async def _scram(session: Session, initial: bytes | None) -> str | None:
    exchange = scram.Exchange(await _ask(session, b"") if initial is None else initial)
    credentials = session.door.credentials
    if not await credentials.begin(session.peer, exchange.username):
        raise SmtpError(replies.LOGIN_LATER)
    secret = await credentials.scram(session.peer, exchange.username)
    server_final = None
    if secret is not None:
        server_final = exchange.finish(secret, await _ask(session, exchange.challenge(secret)))
    if secret is None or server_final is None:
        return None
    await credentials.succeeded(session.peer, exchange.username)
    # RFC 4954 §4: SMTP's success reply carries no data, so the proof goes as a challenge with an empty response.
    if await _ask(session, server_final):
        raise SyntaxInvalid("an empty response is due")
    return secret.account


_MECHANISMS: Final[dict[str, _Mechanism]] = {"PLAIN": _plain, "LOGIN": _login, scram.NAME: _scram}
