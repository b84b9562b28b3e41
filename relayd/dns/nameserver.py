"""How dnspython reaches the resolver, where its own way loses too much."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.asyncbackend
import dns.message
import dns.nameserver
import dns.query
import dns.rdatatype


class Lenient(dns.nameserver.Do53Nameserver):
    """Takes TLSA answers of which some records can't be parsed, such as a digest of the wrong length.

    dnspython would throw away the whole answer, the sound records too, and wait for a better one. Here they stay, and
    ``errors`` of the message says that there were others. Asked over TCP, since dnspython gives unparsed octets to
    nobody.
    """

    async def async_query(self, request: dns.message.QueryMessage, timeout: float, *others: Any, **options: Any) -> Any:  # noqa: ASYNC109 dnspython's
        if request.question[0].rdtype != dns.rdatatype.TLSA:
            return await super().async_query(request, timeout, *others, **options)
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(self.address, self.port)
            try:
                wire = request.to_wire()
                writer.write(len(wire).to_bytes(2) + wire)
                answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            finally:
                writer.close()
        response = dns.message.from_wire(answer, continue_on_error=True)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response
