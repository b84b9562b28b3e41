"""Reports by HTTPS (RFC 8460 §5.4). The URI is a stranger's: no redirects, a certificate of a public CA, no address of
our own network, and of the reply only its status counts."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

import httpx

from relayd.dns.resolver import Resolver
from relayd.reporting.destinations import Destination

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
#: Octets of a reply that are read, so that the connection ends in order.
_REPLY: Final = 64 * 1024
_ACCEPTED: Final = range(200, 300)
#: Answers that another try won't change: redirects, which aren't followed, and most of what is the client's fault.
_FINAL: Final = frozenset(range(300, 500)) - {408, 425, 429}
#: Seconds for a request as a whole.
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Posted:
    """What a try came to: ``problem`` is "" when the report was accepted. ``final``: another try is no use."""

    problem: str = ""
    final: bool = True


class Poster(Protocol):
    """Sends a report. Never raises for what a server does."""

    async def post(self, destination: Destination, content: bytes, media_type: str) -> Posted: ...

    async def close(self) -> None: ...


class HttpsPoster:
    """``context`` says which CAs count: those of the system unless told otherwise. With ``anywhere`` addresses of
    private networks are allowed too."""

    def __init__(self, resolver: Resolver, context: ssl.SSLContext | None = None, *, anywhere: bool = False) -> None:
        self._resolver = resolver
        self._anywhere = anywhere
        # trust_env=False: no proxy and no .netrc.
        self._client = httpx.AsyncClient(
            verify=context or ssl.create_default_context(), timeout=_TIMEOUT, follow_redirects=False, trust_env=False
        )

    async def post(self, destination: Destination, content: bytes, media_type: str) -> Posted:
        if not self._anywhere and (why := await self._unfit(destination.host)):
            return why
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._status(destination.target, content, media_type)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return Posted(f"not reached ({type(error).__name__})", final=False)
        if status in _ACCEPTED:
            return Posted()
        return Posted(f"answered {status}", final=status in _FINAL)

    async def _status(self, uri: str, content: bytes, media_type: str) -> int:
        headers = {"content-type": media_type, "accept-encoding": "identity"}
        async with self._client.stream("POST", uri, content=content, headers=headers) as response:
            read = 0
            async for block in response.aiter_raw():
                read += len(block)
                if read > _REPLY:
                    break
            return response.status_code

    async def close(self) -> None:
        await self._client.aclose()

    async def _unfit(self, host: str) -> Posted | None:
        found = await self._resolver.addresses(host)
        if not found.addresses:
            return Posted(f"has no address ({found.answer})", final=False)
        if not all(ip_address(address).is_global for address in found.addresses):
            return Posted("has an address that isn't public")
        return None
