"""STARTTLS (RFC 3207)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog
from msgspec.structs import replace

from relayd.mail.reply import Reply
from relayd.smtp import handshake, replies
from relayd.smtp.wire import Hangup
from relayd.telemetry.metrics import TLS_IN

if TYPE_CHECKING:
    from relayd.smtp.server import Session

log = structlog.get_logger("relayd.smtp")


async def command(session: Session, argument: str) -> Reply | None:
    # Whatever came with the command was sent in the clear, perhaps by somebody else: it must not outlive it.
    session.in_step()
    if argument:
        return replies.NO_ARGUMENT_ALLOWED
    if session.peer.tls is not None:
        return replies.ALREADY_TLS
    if session.service.tls is None:
        return replies.NOT_IMPLEMENTED
    try:
        context = session.service.tls()
    except Exception as error:
        log.error("tls_context_failed", exc_info=error)
        return replies.TLS_UNAVAILABLE
    session.reset()
    session.wire.write(replies.READY_FOR_TLS.encode())
    session.wire.flush()
    session.wire.resume_reading()
    plain = cast(asyncio.Transport, session.transport)
    try:
        transport = await session.loop.start_tls(
            plain, session, context, server_side=True, ssl_handshake_timeout=handshake.TIMEOUT
        )
    except (TimeoutError, OSError, EOFError) as error:  # ssl.SSLError is an OSError
        TLS_IN.add("failed")
        log.info("tls_failed", peer=str(session.peer.address), reason=getattr(error, "reason", type(error).__name__))
        raise Hangup from None
    if transport is None:  # the peer left during the handshake
        raise Hangup
    session.transport = transport
    session.wire.attach(transport)
    # RFC 3207 §4.2: what was known before is forgotten.
    tls = handshake.facts_of(transport)
    session.peer = replace(session.peer, helo="", tls=tls, account=None, account_mechanism="")
    TLS_IN.add(tls.version if tls else "")
    return None
