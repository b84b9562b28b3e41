"""A web server over TLS that says exactly the octets a test gives it, well-formed or not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.kit.ca import Certificate
from tests.kit.ports import free_port


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A complete response. Header names are given with underscores; content_type is text/plain unless said."""
    given = {"content_type": "text/plain", "content_length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


#: A body without length that goes on until the client leaves.
ENDLESS = itertools.repeat(b"x" * 1024)
#: One octet of it at a time, without an end.
DRIBBLE = itertools.repeat(b"x")


@dataclass
class HttpsServer:
    """Says ``answer`` to every request, then ``more`` piece by piece, then closes unless it is to ``hang``.
    ``requests`` are what it was asked, as octets, ``names`` the names it was asked for by SNI."""

    port: int
    answer: bytes = b""
    more: Iterable[bytes] = ()
    hang: bool = False
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            for piece in self.more:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if self.hang:
                await reader.read()
        writer.close()

    def note_name(self, _: object, name: str | None, __: object) -> None:
        self.names.append(name)


@asynccontextmanager
async def https_server(
    certificate: Certificate,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    newest: ssl.TLSVersion | None = None,
) -> AsyncIterator[HttpsServer]:
    """The server on ``port``, a free one when 0, of ``address``. ``newest`` is the newest version of TLS it knows."""
    server = HttpsServer(port or free_port())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    context.sni_callback = server.note_name
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server.handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(connected, address, server.port, ssl=context)
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
