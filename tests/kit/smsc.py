"""An SMSC that says what a test wants: binds, messages, receipts, refusals, silence, garbage.

What it hears is read by smpplib, what it says it writes itself, so that neither is our own reading of SMPP.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from smpplib.client import SimpleSequenceGenerator
from smpplib.smpp import parse_pdu

_ANSWERS = {"bind_transceiver": 0x80000009, "bind_transmitter": 0x80000002, "submit_sm": 0x80000004}
_ANSWERS |= {"enquire_link": 0x80000015, "unbind": 0x80000006}


def pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), command, status, sequence) + body


def deliver_sm(
    sequence: int, text: bytes = b"", *, esm_class: int = 4, parameters: dict[int, bytes] | None = None
) -> bytes:
    """SMPP 3.4 §4.6.1, from a phone to us."""
    body = b"\0\1\1" + b"31612345678\0" + b"\5\0" + b"Zuid\0" + bytes([esm_class, 0, 0]) + b"\0\0"
    body += bytes([0, 0, 0, 0, len(text)]) + text
    for tag, value in (parameters or {}).items():
        body += struct.pack(">HH", tag, len(value)) + value
    return pdu(0x05, sequence, body)


def receipt_text(name: str, state: str) -> bytes:
    """SMPP 3.4 appendix B."""
    return (
        f"id:{name} sub:001 dlvrd:001 submit date:2611240915 done date:2611240916 stat:{state} err:000 text:123456"
    ).encode()


@dataclass
class Smsc:
    """``status`` and ``bind_status`` are what it answers; ``silent`` takes messages and says nothing; ``instead`` are
    octets that it says instead of its next answer; ``hangs_up`` ends the connection instead."""

    port: int = 0
    status: int = 0
    bind_status: int = 0
    silent: bool = False
    instead: bytes = b""
    hangs_up: bool = False
    binds: list[tuple[str, str, str]] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    heard: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def until(self, command: str) -> Any:
        """The next message of this kind that comes."""
        async with asyncio.timeout(10):
            while True:
                heard = await self.heard.get()
                if heard.command == command:
                    return heard

    async def deliver(self, octets: bytes) -> int:
        """Say this deliver_sm on the newest connection; the status of its answer."""
        self.writers[-1].write(octets)
        answer = await self.until("deliver_sm_resp")
        return int(answer.status)

    def hang_up(self) -> None:
        self.writers[-1].close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(16)
                body = await reader.readexactly(struct.unpack(">L", head[:4])[0] - 16)
                await self._take(
                    parse_pdu(head + body, client=SimpleSequenceGenerator(), allow_unknown_opt_params=True), writer
                )
        writer.close()

    async def _take(self, heard: Any, writer: asyncio.StreamWriter) -> None:
        self.heard.put_nowait(heard)
        if heard.command == "submit_sm":
            self.messages.append(heard)
            if self.hangs_up:
                writer.close()
            if self.silent or self.hangs_up:
                return
        if heard.command.startswith("bind_"):
            self.binds.append((heard.command, heard.system_id.decode(), heard.password.decode()))
        if self.instead:
            writer.write(self.instead)
        elif heard.command in _ANSWERS:
            writer.write(self._answer(heard))
        await writer.drain()

    def _answer(self, heard: Any) -> bytes:
        status, body = 0, b""
        if heard.command.startswith("bind_"):
            status, body = self.bind_status, b"smsc\0"
        elif heard.command == "submit_sm":
            status, body = self.status, f"m{len(self.messages)}\0".encode()
        return pdu(_ANSWERS[heard.command], heard.sequence, b"" if status else body, status)


@asynccontextmanager
async def open_smsc(tls: ssl.SSLContext | None = None, **behaviour: Any) -> AsyncIterator[Smsc]:
    smsc = Smsc(**behaviour)
    listening = await asyncio.start_server(smsc.handle, "127.0.0.1", 0, ssl=tls)
    smsc.port = listening.sockets[0].getsockname()[1]
    try:
        yield smsc
    finally:
        listening.close()
        for writer in smsc.writers:
            writer.close()
        await listening.wait_closed()
