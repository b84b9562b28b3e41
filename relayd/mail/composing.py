"""What all mail that we write ourselves has in common."""

from __future__ import annotations

import re
from base64 import b64encode
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.policy import Policy
from typing import Any, Final

#: RFC 5322 §3.6.4, in ASCII, and no longer than fits on a line of 998 octets (§2.1.1).
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,900}>")


class _MessageIds(UnstructuredHeader, BaseHeader):
    """In-Reply-To or References. Left to itself, ``email`` takes them for text and makes an encoded word of an id that
    is longer than a line. Exchange's are, no mail program decodes them there (RFC 2047 §5), and the thread is lost."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {f'{policy.linesep} '.join(self.split())}{policy.linesep}"


def _headers() -> HeaderRegistry:
    registry: Any = HeaderRegistry()
    for name in ("in-reply-to", "references"):
        registry.map_to_type(name, _MessageIds)
    return registry  # type: ignore[no-any-return]


POLICY: Final = policy.SMTP.clone(max_line_length=78, header_factory=_headers())
#: With addresses as they are written, for a recipient whose own address isn't ASCII (RFC 6532).
UTF8_POLICY: Final = POLICY.clone(utf8=True)


def message_ids(text: str) -> list[str]:
    """The Message-IDs in a field's text, in their order, each with its brackets."""
    return _MESSAGE_ID.findall(text)


class Base64Lines:
    """Octets of any length in, lines of base64 out (RFC 2045 §6.8), without holding more than one of them."""

    #: Octets that are one line.
    _LINE: Final = 57

    def __init__(self) -> None:
        self._held = b""

    def feed(self, block: bytes) -> bytes:
        """The lines that are complete now, each with its CRLF."""
        held = self._held + block
        whole = len(held) // self._LINE * self._LINE
        self._held = held[whole:]
        return self._lines(held[:whole])

    def finish(self) -> bytes:
        """The last line, if there is one."""
        return self._lines(self._held)

    def _lines(self, octets: bytes) -> bytes:
        encoded = b64encode(octets)
        return b"".join(encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76))
