"""Which MIME parts are worth a look. Most mail has none, and then nothing of this package is called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relayd.mail.meta import Part

#: What a mail program shows itself, unless it has a name or says that it is an attachment.
_SHOWN: Final = frozenset(
    {
        "text/plain",
        "text/html",
        "text/rfc822-headers",
        "message/delivery-status",
        "message/disposition-notification",
        "message/global-delivery-status",
        "message/global-headers",
    }
)


def attachments(parts: Iterable[Part]) -> list[Part]:
    """The parts that a recipient may save or open, embedded messages' included."""
    return [
        part
        for part in parts
        if not part.is_container and (part.type not in _SHOWN or part.names or part.disposition == "attachment")
    ]
