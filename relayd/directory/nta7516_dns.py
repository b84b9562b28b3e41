"""Asks DNS for NTA 7516 records. Answers are kept by the resolver for their TTL."""

from __future__ import annotations

import asyncio
from typing import Final

from relayd.directory.nta7516 import Published, read
from relayd.dns.records import Answer, Validation
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain

#: Seconds that one look-up may take: somebody waits for a reply.
_BUDGET: Final = 5.0


class NtaDns:
    """The records as the world publishes them."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def look_up(self, domain: Domain) -> Published:
        """The record of a mail domain. Never raises for what DNS says."""
        if domain.startswith("["):
            return Published(domain, Answer.NO_NAME)  # an address literal is no domain that could publish anything
        try:
            async with asyncio.timeout(_BUDGET):
                found = await self._resolver.texts(domain)
                if not found.answer.certain:
                    return Published(domain, found.answer)
                reading = read(found.values)
                if reading.record is None:
                    return Published(domain, found.answer, found.secure, reading)
                validation = await self._resolver.known_validation()
        except TimeoutError:
            return Published(domain, Answer.TIMEOUT)
        secure = None if validation is Validation.UNTESTED else found.secure and validation is Validation.ON
        return Published(domain, found.answer, secure, reading)
