"""The header field TLS-Required (RFC 8689 §3): a sender who would rather have a message arrive than travel securely."""

from __future__ import annotations

from relayd.mail.headers import Headers

NAME = "tls-required"


def says_tls_optional(headers: Headers) -> bool:
    """Whether the one TLS-Required field says No.

    Several fields, another value, or a spelling that only some programs would read (space before the colon) say
    nothing: what weakens security has to be beyond doubt.
    """
    fields = headers.all(NAME)
    if len(fields) != 1 or fields[0].raw[: len(NAME) + 1].lower() != f"{NAME}:".encode():
        return False
    return fields[0].value.lower() == b"no"
