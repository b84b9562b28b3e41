"""What a message's header asks of whoever delivers it, beside the envelope."""

from __future__ import annotations

from typing import Final

from relayd.mail.address import Sender
from relayd.mail.headers import Headers

#: Our own field for programs that can't write the standard's.
RECEIPT_FIELD: Final = "x-relayd-read-receipt"
_BULK: Final = frozenset({"bulk", "list", "junk"})


def is_automatic(headers: Headers) -> bool:
    """Whether a program wrote it, so that no program should answer (RFC 3834 §2)."""
    submitted = headers.text("auto-submitted").split(";")[0].strip().lower()
    return submitted not in ("", "no") or headers.text("precedence").strip().lower() in _BULK


def wants_receipt(headers: Headers, sender: Sender) -> bool:
    """Whether its sender asks to hear when it is read: by Disposition-Notification-To with the envelope's own sender
    (another address would have to be asked about, RFC 8098 §2.1), or by our own field."""
    asked = headers.addresses("disposition-notification-to")
    if len(asked) == 1 and str(sender) and asked[0].key == getattr(sender, "key", ""):
        return True
    return headers.text(RECEIPT_FIELD).strip().lower() == "yes"
