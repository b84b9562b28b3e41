"""A next hop for the bench with TLS: takes every message over STARTTLS, keeps none, and says how many there were.

smtp-sink has no TLS, and stunnel in front of it waits 200 ms before each handshake. A process of its own; it prints
``mesg=NUMBER`` as smtp-sink does.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from typing import cast

import uvloop

_EVERY = 0.01
_EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
_REPLIES = {b"MAIL": b"250 2.1.0 Ok\r\n", b"RCPT": b"250 2.1.5 Ok\r\n", b"RSET": b"250 2.0.0 Ok\r\n"}
_END = b"\r\n.\r\n"


class Count:
    """How many messages all connections have taken."""

    def __init__(self) -> None:
        self.taken = 0
        self._told = 0

    async def tell(self) -> None:
        while True:
            if self.taken != self._told:
                self._told = self.taken
                sys.stdout.write(f"mesg={self._told}\n")
                sys.stdout.flush()
            await asyncio.sleep(_EVERY)


class Connection(asyncio.Protocol):
    """One client. Commands of a group are answered together (RFC 2920)."""

    def __init__(self, context: ssl.SSLContext, count: Count) -> None:
        self._context = context
        self._count = count
        self._buffer = b""
        self._in_data = False
        self._secure = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._secure:
            self._transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        replies = []
        while True:
            if self._in_data:
                at = buffer.find(_END)
                if at < 0:
                    buffer = buffer[-len(_END) + 1 :]
                    break
                buffer, self._in_data = buffer[at + len(_END) :], False
                self._count.taken += 1
                replies.append(b"250 2.0.0 Ok\r\n")
                continue
            line, separator, rest = buffer.partition(b"\r\n")
            if not separator:
                break
            # The end of data may be all there is, and its first two octets are those of this line.
            buffer = b"\r\n" + rest if line.upper() == b"DATA" else rest
            replies.append(self._reply(line[:8].upper()))
        self._buffer = buffer
        if replies:
            self._transport.write(b"".join(replies))

    def _reply(self, line: bytes) -> bytes:
        verb = line[:4]
        if line == b"STARTTLS":
            self._task = asyncio.get_running_loop().create_task(self._start_tls())
            return b"220 2.0.0 Ready\r\n"
        if verb == b"DATA":
            self._in_data = True
            return b"354 Go on\r\n"
        if verb == b"QUIT":
            asyncio.get_running_loop().call_soon(self._transport.close)
            return b"221 2.0.0 Bye\r\n"
        if verb in (b"EHLO", b"HELO"):
            return _EHLO if self._secure else _EHLO.replace(b"250-PIPE", b"250-STARTTLS\r\n250-PIPE")
        return _REPLIES.get(verb, b"502 5.5.1 No\r\n")

    async def _start_tls(self) -> None:
        self._secure = True
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, self._context, server_side=True
            )
        except (OSError, EOFError):
            return
        if transport is not None:
            self._transport = transport


async def serve(port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    count = Count()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(context, count), "127.0.0.1", port, backlog=1000
    )
    async with server:
        await count.tell()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.certificate, arguments.key))


if __name__ == "__main__":
    main()
