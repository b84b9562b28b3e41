"""Reports by HTTPS (RFC 8460 §5.4). The URI is a stranger's: no redirects, no proxy, a certificate that proves its
name, public addresses only, and of the reply only its status counts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Protocol

import httpx

from relayd.dns.resolver import Resolver
from relayd.reporting.destinations import Destination
from relayd.tls import https
from relayd.tls.contexts import https_context

#: Seconds for everything together.
_PATIENCE: Final = 60.0
#: Octets of a reply that are read, so that the connection ends in order.
_REPLY: Final = 64 * 1024
_ACCEPTED: Final = range(200, 300)
#: Answers that another try won't change: redirects, which aren't followed, and most of what is the client's fault.
_FINAL: Final = frozenset(range(300, 500)) - {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Posted:
    """What a try came to: ``problem`` is "" when the report was accepted. ``final``: another try is no use."""

    problem: str = ""
    final: bool = True


class Poster(Protocol):
    """Sends a report. Never raises for what a server does."""

    async def post(self, destination: Destination, content: bytes, media_type: str) -> Posted: ...


class HttpsPoster:
    """``trusted_ca`` stands in for the system's CAs; ``private_networks`` may be reached beside the internet."""

    def __init__(
        self,
        resolver: Resolver,
        trusted_ca: Path | None = None,
        private_networks: Sequence[IPv4Network | IPv6Network] = (),
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._resolver = resolver
        self._trusted_ca = trusted_ca
        self._private_networks = private_networks
        self._patience = patience

    async def post(self, destination: Destination, content: bytes, media_type: str) -> Posted:
        try:
            async with asyncio.timeout(self._patience):
                return await self._post(destination, content, media_type)
        except TimeoutError:
            return Posted("no complete answer in time", final=False)

    async def _post(self, destination: Destination, content: bytes, media_type: str) -> Posted:
        found = await self._resolver.addresses(destination.host)
        if not found.addresses:
            return Posted(f"looking up its address ended in {found.answer}", final=False)
        addresses = https.to_ask(found, self._private_networks)
        if not addresses:
            return Posted("it leads into a private network")
        # Loading the CAs takes milliseconds of the loop.
        context = await asyncio.to_thread(https_context, self._trusted_ca)
        problem = ""
        async with https.client(context) as client:
            for address in addresses:
                try:
                    uri = httpx.URL(destination.target)
                    headers = {"Content-Type": media_type}
                    request = https.request("POST", uri, destination.host, address, headers, content)
                    status = await _status(client, request)
                except httpx.ConnectError as error:
                    problem = _why(error)
                except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError):
                    return Posted("the server broke off, or doesn't speak HTTP", final=False)
                else:
                    return Posted() if status in _ACCEPTED else Posted(f"HTTP {status}", final=status in _FINAL)
        return Posted(problem, final=False)


async def _status(client: httpx.AsyncClient, request: httpx.Request) -> int:
    response = await client.send(request, stream=True)
    try:
        read = 0
        async for block in response.aiter_raw():
            read += len(block)
            if read > _REPLY:
                break
        return response.status_code
    finally:
        await response.aclose()


def _why(error: BaseException) -> str:
    """What kept the connection from being made."""
    cause = https.tls_error(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate isn't trusted: {cause.verify_message}"
    return "the TLS handshake failed" if cause is not None else "no connection could be made"
