"""EHLO and HELO: who the client says it is, and what this server offers (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from relayd.mail.reply import Reply
from relayd.smtp import replies

if TYPE_CHECKING:
    from relayd.smtp.server import Session

#: More lenient than a domain (hosts with underscores exist), but nothing that could upset a Received line.
_NAME: Final = re.compile(r"[A-Za-z0-9_.:\-\[\]]{1,255}")


async def command(session: Session, argument: str) -> Reply | None:
    reply = _greet(session, argument, esmtp=True)
    if reply is None:
        session.wire.write(Reply(250, "", "\n".join(_offers(session))).encode())
    return reply


async def plain(session: Session, argument: str) -> Reply | None:
    """HELO: no extensions, and so no parameters."""
    reply = _greet(session, argument, esmtp=False)
    return reply or Reply(250, "", session.service.hostname)


def _greet(session: Session, argument: str, *, esmtp: bool) -> Reply | None:
    session.in_step()
    if not _NAME.fullmatch(argument):
        return replies.BAD_HELO
    session.reset()  # RFC 5321 §4.1.4: as if RSET had been given
    session.peer = replace(session.peer, helo=argument, esmtp=esmtp)
    return None


def _offers(session: Session) -> Iterator[str]:
    limits = session.service.limits
    yield session.service.hostname
    yield "PIPELINING"  # RFC 2920
    yield f"SIZE {limits.message_size}"  # RFC 1870
    yield "8BITMIME"  # RFC 6152
    yield "SMTPUTF8"  # RFC 6531
    yield "ENHANCEDSTATUSCODES"  # RFC 2034
    yield "DSN"  # RFC 3461
    yield "CHUNKING"  # RFC 3030, without BINARYMIME
    yield f"LIMITS RCPTMAX={limits.recipients}"  # RFC 9422
    if session.peer.tls is not None:
        yield "REQUIRETLS"  # RFC 8689 §2: never outside TLS
        scram = " SCRAM-SHA-256" if session.door.credentials.offers_scram else ""
        yield f"AUTH PLAIN LOGIN{scram}"  # RFC 4954: never outside TLS
    elif session.service.tls is not None:
        yield "STARTTLS"  # RFC 3207 §4.2: never inside TLS
