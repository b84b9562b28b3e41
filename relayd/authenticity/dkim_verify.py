"""Verifies DKIM signatures (RFC 6376) with dkimpy, off the event loop.

It serves one question: which domains signed the *whole* of this message. So a signature that covers only the start of
the body (l=) counts for nothing, since anyone can put more behind it, and neither does SHA-1 (RFC 8301 §3.1).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain
from relayd.mail.body import Body

#: Asks for a TXT record: name in, joined strings out, None when there is none. Called in a thread.
TxtLookup = Callable[[bytes], bytes | None]

#: Signatures looked at per message, from the top (RFC 6376 §6.1 lets a verifier limit them).
_MOST_SIGNATURES: Final = 5

_FIELD: Final = re.compile(rb"^dkim-signature[ \t]*:(.*(?:\r\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_ALGORITHMS: Final = frozenset({b"rsa-sha256", b"ed25519-sha256"})


class DkimVerifier:
    """dkimpy wants the whole message in memory, so at most ``at_once`` are verified at a time."""

    def __init__(self, txt: TxtLookup, at_once: int = 1) -> None:
        self._txt = txt
        self._turns = asyncio.Semaphore(at_once)

    async def signed_by(self, body: Body) -> frozenset[Domain]:
        """The domains (d=) with a valid signature over all of this message."""
        candidates = _candidates(body.head)
        if not candidates:
            return frozenset()
        async with self._turns:
            message = b"".join([block async for block in body.blocks()])
            return await asyncio.to_thread(self._verify, message, candidates)

    def _verify(self, message: bytes, candidates: dict[int, Domain]) -> frozenset[Domain]:
        return frozenset(domain for index, domain in candidates.items() if self._valid(message, index))

    def _valid(self, message: bytes, index: int) -> bool:
        try:
            return bool(dkim.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=self._lookup))
        except (dkim.DKIMException, ValueError):
            return False

    def _lookup(self, name: bytes, timeout: float = 5) -> bytes | None:
        return self._txt(name)


def _candidates(head: bytes) -> dict[int, Domain]:
    """The signatures worth verifying: their number among the DKIM-Signature fields, and their domain."""
    found: dict[int, Domain] = {}
    for index, match in enumerate(_FIELD.finditer(head)):
        if index == _MOST_SIGNATURES:
            break
        try:
            tags = parse_tag_value(match[1])
            domain = normalise_domain(tags.get(b"d", b"").decode("ascii"))
        except (InvalidTagValueList, UnicodeDecodeError, SyntaxInvalid):
            continue
        if b"l" not in tags and tags.get(b"a") in _ALGORITHMS:
            found[index] = domain
    return found
