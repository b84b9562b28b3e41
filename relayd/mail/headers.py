"""The header section as a value (RFC 5322 §2.2): raw fields in their order, decoded only when asked."""

from __future__ import annotations


class Headers:
    """Placeholder until the mail package lands: see its contract."""

    def __init__(self, head: bytes) -> None:
        self.head = head
