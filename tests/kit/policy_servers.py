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


@dataclass(frozen=True)
class Sts:
    """What a domain says by MTA-STS. ``mx`` are patterns, "*.mx.example" when nothing is said. ``shows`` is the web
    server's certificate: good, misnamed, expired or self-signed. ``answer`` is what it does: ok, redirect, missing,
    large, or text of its own instead of a policy."""

    mode: str = "enforce"
    mx: str = "*.mx.example"
    shows: str = "good"
    answer: str = "ok"


@dataclass(frozen=True)
class _Site:
    address: str
    certificate: Certificate
    answer: bytes


class PolicyServers:
    """All of them, in a thread with an event loop of its own. ``port`` is the same for all; they are on addresses of
    ``network``, the first three numbers of one."""

    def __init__(self, pki: Pki, *, network: str = "127.77.2", port: int = 0) -> None:
        self.port = port or free_port()
        self._network = network
        self._pki = pki
        self._sites: list[_Site] = []
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def add(self, host: str, sts: Sts) -> str:
        """One more site, before the start; returns its address."""
        address = f"{self._network}.{len(self._sites) + 1}"
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
        if self._loop.is_closed():
            return
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
