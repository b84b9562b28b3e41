"""The content of a file as a Mail, for ``relayd explain``, ``relayd check`` and tests of policies.

Also what stands in there for the machine's shared counters and for the inspector, when there is no daemon to ask.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from msgspec.structs import replace

from relayd.clock import Clock
from relayd.directory.directory import Origin
from relayd.mail.address import Sender
from relayd.mail.body import Body
from relayd.mail.envelope import BodyType, Envelope, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.mime import MimeScanner
from relayd.pipeline.policy import Inspection, InspectionLimits, Mail

_BLOCK = 256 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class MemoryBody:
    """A Body whose octets are all in memory."""

    content: bytes = field(repr=False)
    head_length: int

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def head(self) -> bytes:
        return self.content[: self.head_length]

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        end = len(self.content) if length is None else min(start + length, len(self.content))
        for offset in range(start, end, _BLOCK):
            yield self.content[offset : min(offset + _BLOCK, end)]


def envelope_mail(peer: Peer, origin: Origin, sender: Sender, recipients: Sequence[Recipient]) -> Mail:
    """A Mail before the end of data: no headers, body or parts yet."""
    everyone = tuple(recipients)
    utf8 = not all(str(one).isascii() for one in (sender, *(recipient.address for recipient in everyone)))
    envelope = Envelope(sender=sender, recipients=everyone, body=BodyType.EIGHT_BIT_MIME, smtputf8=utf8)
    return Mail(id="sample", peer=peer, origin=origin, envelope=envelope, recipients=everyone)


def with_content(mail: Mail, content: bytes) -> Mail:
    """``mail`` after the end of data. Line ends become CRLF, as they would be on the wire."""
    octets = _LINE_END.sub(b"\r\n", content)
    scanner = MimeScanner()
    for start in range(0, len(octets), _BLOCK):
        scanner.feed(octets[start : start + _BLOCK])
    parts = scanner.finish()
    body: Body = MemoryBody(octets, scanner.head_length or 0)
    envelope = replace(mail.envelope, size=body.size)
    return replace(mail, envelope=envelope, headers=Headers(body.head), body=body, parts=parts)


class MemoryLimits:
    """Counters of this process alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, dict[str, float]] = {}
        self._taken: dict[str, list[tuple[float, int]]] = {}

    async def count_unique(self, key: str, members: list[str], window: timedelta) -> int:
        now = self._clock.now()
        seen = self._members.setdefault(key, {})
        seen.update(dict.fromkeys(members, now))
        return sum(at > now - window.total_seconds() for at in seen.values())

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        now = self._clock.now()
        recent = [(at, taken) for at, taken in self._taken.get(key, []) if at > now - window.total_seconds()]
        if sum(taken for _, taken in recent) + amount > limit:
            return False
        self._taken[key] = [*recent, (now, amount)]
        return True


class NothingInside:
    """An inspector that finds no files: for trying out policies on messages that have none."""

    async def inspect(self, mail: Mail, limits: InspectionLimits) -> Inspection:
        return Inspection(files=())
