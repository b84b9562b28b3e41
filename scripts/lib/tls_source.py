"""smtp-source with TLS, as far as the bench needs it: so many messages over so many sessions at once.

Says STARTTLS and shows a client certificate, waits for each reply as smtp-source does, resumes no TLS session.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import ssl
from collections.abc import Iterator
from email.utils import formatdate

import uvloop


def _content(number: int, sender: str, recipient: str, size: int) -> bytes:
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nDate: {formatdate()}\r\n"
        f"Message-ID: <{number}.{sender}>\r\nSubject: load\r\n\r\n"
    ).encode()
    line = b"The quick brown fox jumps over the lazy dog, and does so again tomorrow.\r\n"
    return head + line * max(1, (size - len(head)) // len(line)) + b".\r\n"


class Session:
    """One connection: greeted, with TLS, and as far as MAIL."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Session:
        session = cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**16))
        await session.say(None, 220)
        await session.say(b"EHLO load.example\r\n", 250)
        await session.say(b"STARTTLS\r\n", 220)
        await session._writer.start_tls(context, server_hostname="localhost")
        await session.say(b"EHLO load.example\r\n", 250)
        return session

    async def say(self, words: bytes | None, expected: int) -> None:
        if words is not None:
            self._writer.write(words)
        while (line := await self._reader.readline())[3:4] == b"-":
            pass
        if line[:3] != b"%d" % expected:
            raise RuntimeError(f"{line!r} to {(words or b'')[:60]!r}")

    async def send(self, sender: str, recipient: str, content: bytes) -> None:
        await self.say(f"MAIL FROM:<{sender}>\r\n".encode(), 250)
        await self.say(f"RCPT TO:<{recipient}>\r\n".encode(), 250)
        await self.say(b"DATA\r\n", 354)
        await self.say(content, 250)

    async def close(self) -> None:
        await self.say(b"QUIT\r\n", 221)
        self._writer.close()


async def _work(arguments: argparse.Namespace, numbers: Iterator[int], context: ssl.SSLContext) -> None:
    session: Session | None = None
    for number in numbers:
        session = session or await Session.open(arguments.port, context)
        content = _content(number, arguments.sender, arguments.recipient, arguments.size)
        await session.send(arguments.sender, arguments.recipient, content)
        if not arguments.reuse:
            await session.close()
            session = None
    if session is not None:
        await session.close()


async def _run(arguments: argparse.Namespace) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(arguments.certificate, arguments.key)
    numbers = itertools.islice(itertools.count(), arguments.count)
    await asyncio.gather(*(_work(arguments, numbers, context) for _ in range(arguments.sessions)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--sender", required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--reuse", action="store_true")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
