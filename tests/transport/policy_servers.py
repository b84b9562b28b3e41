"""The web servers of domains with an MTA-STS policy, each on a loopback address of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.kit.ca import Certificate
from tests.kit.https import https_server, response
from tests.kit.pki import Pki
from tests.kit.ports import free_port
from tests.transport.rows import Sts


@dataclass(frozen=True)
class _Site:
    address: str
    certificate: Certificate
    answer: bytes


class PolicyServers:
    """All of them, in a thread with an event loop of its own. ``port`` is the same for all."""

    def __init__(self, pki: Pki) -> None:
        self.port = free_port()
        self._pki = pki
        self._sites: list[_Site] = []
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def add(self, host: str, sts: Sts) -> str:
        """One more site, before the start; returns its address."""
        address = f"127.77.2.{len(self._sites) + 1}"
        name = "mx.elsewhere.example" if sts.shows == "misnamed" else host
        label = f"sts-{len(self._sites)}"
        if sts.shows == "self-signed":
            issued = self._pki.self_signed(label, name)
        else:
            started = 60 if sts.shows == "expired" else 1
            issued = self._pki.leaf(label, name, sent=[self._pki.intermediate], started=started)
        self._sites.append(_Site(address, Certificate(issued.chain, issued.key_file, ""), _answer(sts)))
        return address

    def start(self) -> None:
        self._thread.start()
        self._serving.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            for site in self._sites:
                serving = https_server(site.certificate, address=site.address, port=self.port)
                server = await stack.enter_async_context(serving)
                server.answer = site.answer
            self._serving.set()
            await self._stopping.wait()


def _answer(sts: Sts) -> bytes:
    policy = f"version: STSv1\r\nmode: {sts.mode}\r\nmx: {sts.mx}\r\nmax_age: 86400\r\n".encode()
    match sts.answer:
        case "ok":
            return response(policy)
        case "redirect":
            return response(policy, "301 Moved Permanently", location="https://elsewhere.example/")
        case "missing":
            return response(b"", "404 Not Found")
        case "large":
            return response(policy + b"x: y\r\n" * 20_000)
        case text:
            return response(text.encode())
