"""What tests of SMS share: a message, a ledger in memory, settings, an HTTP gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayd.errors import StoreAway
from relayd.settings.models import Configuration
from relayd.sms.message import Receipt, Sms

NUMBER = "+31612345678"
CODE = "604182"
SMS = Sms(
    number=NUMBER,
    text=f'Zuid "zei" é_$: {CODE}\n\n@v.nl #{CODE}',
    reference="K7Q",
    id="0123456789abcdef0123456789abcdef",
    code_id="c1",
)


@dataclass
class MemoryLedger:
    """Counts what gateways took; ``away`` is the store that doesn't answer."""

    taken: dict[str, int] = field(default_factory=dict)
    receipts: list[tuple[str, str, bool]] = field(default_factory=list)
    away: bool = False

    async def take(self, sms: Sms, gateway: str, daily: int) -> bool:
        used = self.taken.get(gateway, 0)
        if daily and used >= daily:
            return False
        self.taken[gateway] = used + 1
        return True

    async def heard(self, gateway: str, receipt: Receipt) -> None:
        if self.away:
            raise StoreAway("away")
        self.receipts.append((gateway, receipt.id, receipt.arrived))


def configuration(folder: Path, **changes: Any) -> Configuration:
    base: dict[str, Any] = {
        "hostname": "mail.example.nl",
        "state": folder / "state",
        "keys": folder / "keys",
        "listeners": [{"address": "127.0.0.1:24025", "kind": "relay"}],
        "tls": {"certificate": folder / "c.pem", "key": folder / "k.pem"},
    }
    return Configuration.model_validate(base | changes)


def secret_file(folder: Path, secret: str, name: str = "secret") -> Path:
    path = folder / name
    path.write_text(f"{secret}\n")
    path.chmod(0o600)
    return path


@dataclass
class HttpGateway:
    """Answers every request with ``status`` and ``answer``, or ends the connection; ``bodies`` are what it was sent."""

    port: int = 0
    status: str = "201 Created"
    answer: bytes = b'{"messages": [{"id": "gw-1"}]}'
    hangs_up: bool = False
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/messages"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            self.bodies.append(await reader.readexactly(length))
            if not self.hangs_up:
                lines = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.answer)}\r\nConnection: close\r\n\r\n"
                writer.write(lines.encode() + self.answer)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def http_gateway(**behaviour: Any) -> AsyncIterator[HttpGateway]:
    gateway = HttpGateway(**behaviour)
    listening = await asyncio.start_server(gateway.handle, "127.0.0.1", 0)
    gateway.port = listening.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        listening.close()
        await listening.wait_closed()
