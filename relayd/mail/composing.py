"""What all mail that we write ourselves has in common."""

from __future__ import annotations

import re
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
