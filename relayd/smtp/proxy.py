"""The PROXY protocol, versions 1 and 2, from the load balancers that the settings name.

Read straight from the socket, octet for octet, before anything else is made of the connection: what follows the
header may be a TLS handshake, which must not end up in a buffer.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiosmtpd.proxy_protocol import get_proxy

#: Seconds for the whole header.
TIMEOUT: Final = 10.0
_LONGEST_LINE: Final = 107
_V2_LOCAL: Final = 0


class ProxyHeaderInvalid(Exception):
    """No header, a broken one, or one that doesn't say who the client is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from. ``proxied_by`` is the load balancer that said so."""

    address: IPv4Address | IPv6Address
    port: int
    proxied_by: IPv4Address | IPv6Address | None = None


class _SocketReader:
    """aiosmtpd's parser on a bare socket: never takes an octet more than it is asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock

    async def read(self, n: int = -1) -> bytes:
        return await self._loop.sock_recv(self._socket, n)

    async def readexactly(self, n: int) -> bytes:
        octets = b""
        while len(octets) < n:
            piece = await self._loop.sock_recv(self._socket, n - len(octets))
            if not piece:
                raise ProxyHeaderInvalid
            octets += piece
        return octets

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        line = b""
        while not line.endswith(separator):
            if len(line) > _LONGEST_LINE:
                raise ProxyHeaderInvalid
            line += await self.readexactly(1)
        return line


async def read_header(loop: asyncio.AbstractEventLoop, sock: socket.socket, balancer: Origin) -> Origin:
    """The client that the header names. ``balancer`` is who sent it. Raises ProxyHeaderInvalid."""
    try:
        async with asyncio.timeout(TIMEOUT):
            header = await get_proxy(_SocketReader(loop, sock))
    except (TimeoutError, OSError):
        raise ProxyHeaderInvalid from None
    if not header.valid:
        raise ProxyHeaderInvalid
    if header.version == 2 and header.command == _V2_LOCAL:
        return balancer  # its own health check
    if header.src_port is None or not isinstance(header.src_addr, IPv4Address | IPv6Address):
        raise ProxyHeaderInvalid  # UNKNOWN, or not TCP over IP
    return Origin(plain_address(str(header.src_addr)), header.src_port, balancer.address)


@lru_cache(4096)
def plain_address(text: str) -> IPv4Address | IPv6Address:
    """The address without a zone; an IPv4 one where IPv6 only maps it."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
