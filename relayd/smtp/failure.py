"""From an exception to the reply that the peer gets: never its own text."""

from __future__ import annotations

import secrets

import structlog

from relayd.errors import SmtpError, StoreError, StoreUnavailable, VaultError
from relayd.mail.reply import Reply

log = structlog.get_logger("relayd.smtp")

STORAGE = Reply(451, "4.3.0", "Storage is unavailable for the moment; try again later")


def reply_to(error: Exception, where: str) -> Reply:
    """The reply for ``error``, raised while ``where`` (a verb) was carried out."""
    if isinstance(error, SmtpError):
        if isinstance(error.__cause__, StoreError | VaultError):
            log.warning("trouble", verb=where, component=error.component, reason=str(error.__cause__))
        return error.reply
    if isinstance(error, StoreUnavailable):
        log.warning("storage_unavailable", verb=where)
        return STORAGE
    reference = secrets.token_hex(4).upper()
    log.error("session_failed", verb=where, ref=reference, exc_info=error)
    return Reply(451, "4.3.0", f"Something went wrong here; try again later (ref {reference})")
