"""Verifies DKIM signatures (RFC 6376) with dkimpy, off the event loop.

It serves one question: which domains signed the *whole* of this message. So a signature that covers only the start of
the body (l=) counts for nothing, since anyone can put more behind it, and neither does SHA-1 (RFC 8301 §3.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import dkim

from relayd.mail.address import Domain, normalise_domain
from relayd.mail.body import Body
from relayd.mail.headers import Headers

#: Asks for a TXT record: name and seconds in, joined strings out, None when there is none. Raises TimeoutError when
#: nobody answers: then it isn't known whether the signature is good. Called in a thread.
TxtLookup = Callable[[bytes, float], bytes | None]

#: Seconds that DNS may take for one message in all; its sender waits for the reply to the final dot.
DNS_BUDGET: Final = 5.0

#: Signatures looked at per message, from the top (RFC 6376 §6.1 lets a verifier limit them).
_MOST_SIGNATURES: Final = 5

_ALGORITHMS: Final = frozenset({b"rsa-sha256", b"ed25519-sha256"})


class DkimVerifier:
    """dkimpy wants the whole message in memory, so at most ``at_once`` are verified at a time."""

    def __init__(self, txt: TxtLookup, at_once: int = 1) -> None:
        self._txt = txt
        self._turns = asyncio.Semaphore(at_once)

    async def signed_by(self, body: Body) -> frozenset[Domain]:
        """The domains (d=) with a valid signature over all of this message. Raises TimeoutError when DNS doesn't
        answer within its budget and no signature is valid without it."""
        count = min(len(Headers(body.head).all("dkim-signature")), _MOST_SIGNATURES)
        if not count:
            return frozenset()
        async with self._turns:
            message = b"".join([block async for block in body.blocks()])
            return await asyncio.to_thread(_Verification(self._txt, message).signers, count)


class _Verification:
    """One message's signatures, with one DNS budget for all of them."""

    def __init__(self, txt: TxtLookup, message: bytes) -> None:
        self._txt = txt
        self._message = message
        self._deadline = time.monotonic() + DNS_BUDGET
        self._unanswered = False

    def signers(self, count: int) -> frozenset[Domain]:
        found = frozenset(signer for index in range(count) if (signer := self._signer(index)) is not None)
        if self._unanswered and not found:
            raise TimeoutError("no answer from DNS about any signature")
        return found

    def _signer(self, index: int) -> Domain | None:
        """Whose signature number ``index`` is, when it is valid and covers everything."""
        verifier = dkim.DKIM(self._message, minkey=1024)
        try:
            if not verifier.verify(idx=index, dnsfunc=self._lookup):
                return None
            # What dkimpy itself read: a reading of our own might be of another field.
            tags = verifier.signature_fields
            if b"l" in tags or tags[b"a"] not in _ALGORITHMS:
                return None
            return normalise_domain(tags[b"d"].decode("ascii"))
        except (dkim.DKIMException, ValueError, KeyError):
            return None

    def _lookup(self, name: bytes, timeout: float = DNS_BUDGET) -> bytes | None:
        try:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            return self._txt(name, left)
        except TimeoutError:
            self._unanswered = True
            return None
