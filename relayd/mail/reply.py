"""SMTP replies as values (RFC 5321 §4.2, enhanced codes of RFC 3463 and RFC 2034)."""

from __future__ import annotations

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """One reply: three-digit ``code``, ``enhanced`` code ("5.7.1") and public ``text``.

    ``enhanced`` is empty only where RFC 2034 §4 forbids it: the greeting, EHLO's answer, 3yz replies.
    ``text`` may hold newlines: one per line of a multi-line reply. It is ASCII and names no secret.
    """

    code: int
    enhanced: str
    text: str

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def encode(self) -> bytes:
        """The bytes on the wire, every line within 512 octets (RFC 5321 §4.5.3.1.5)."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        lines = [f"{prefix}{line}"[:500] for line in self.text.split("\n")]
        last = len(lines) - 1
        return "".join(
            f"{self.code}{' ' if index == last else '-'}{line}\r\n" for index, line in enumerate(lines)
        ).encode("ascii", "replace")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"
