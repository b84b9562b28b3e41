"""How dnspython reaches the resolver, where its own way loses too much."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import dns.exception
import dns.message
import dns.nameserver
import dns.query
import dns.rdatatype


class Lenient(dns.nameserver.Do53Nameserver):
    """Takes TLSA answers of which some records can't be parsed, such as a digest of the wrong length.

    dnspython would throw away the whole answer, the sound records too, and wait for a better one. Here they stay, and
    ``errors`` of the message says that there were others. Asked over TCP, since dnspython gives unparsed octets to
    nobody.

    Whatever has no room in a datagram may be four thousand records, which take a third of a second to read: a thread
    does that, and not the event loop.
    """

    async def async_query(  # its shape is dnspython's
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109
        source: str | None,
        source_port: int,
        max_size: bool,
        *others: Any,
        **options: Any,
    ) -> dns.message.Message:
        lenient = request.question[0].rdtype == dns.rdatatype.TLSA
        if not (lenient or max_size):
            return await super().async_query(request, timeout, source, source_port, max_size, *others, **options)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._exchange(request.to_wire())
        except TimeoutError as error:
            raise dns.exception.Timeout(timeout=timeout) from error  # type: ignore[no-untyped-call]
        response = await asyncio.to_thread(dns.message.from_wire, answer, continue_on_error=lenient)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response

    async def _exchange(self, question: bytes) -> bytes:
        """Question and answer in the form of RFC 1035 §4.2.2."""
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            writer.write(len(question).to_bytes(2) + question)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
