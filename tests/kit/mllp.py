"""Both ends of MLLP: a system that sends HL7 to relayd, and one that takes it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

from tests.kit.ca import Authority, Certificate
from tests.kit.ports import free_port

VT, END = b"\x0b", b"\x1c\r"


def client_context(authority: Authority, certificate: Certificate | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


class Sender:
    """A connection that stays open. Used as a context manager."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._read = b""

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def put(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def answer(self) -> bytes:
        """The next acknowledgement; b"" when the connection ends instead."""
        while END not in self._read:
            block = self._socket.recv(4096)
            if not block:
                return b""
            self._read += block
        answer, _, self._read = self._read.partition(END)
        return answer.removeprefix(VT)

    def send(self, message: bytes) -> bytes:
        self.put(VT + message + END)
        return self.answer()


class System:
    """Takes HL7 from whoever shows a certificate of the authority. ``answer`` makes of MSH-10 what it says; None: it
    hangs up."""

    def __init__(self, authority: Authority, certificate: Certificate) -> None:
        self.port = free_port()
        self.messages: list[bytes] = []
        self.answer: Callable[[str], bytes | None] = accepted
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> System:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)

    async def _stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = (await reader.readuntil(END)).removeprefix(VT).removesuffix(END)
                self.messages.append(message)
                control_id = message.split(b"\r")[0].split(b"|")[9].decode()
                answer = self.answer(control_id)
                if answer is None:
                    break
                writer.write(VT + answer + END)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


def accepted(control_id: str) -> bytes:
    return said("AA", control_id)


def said(answer: str, control_id: str, more: str = "") -> bytes:
    return f"MSH|^~\\&|HIS|KLINIEK|||20261123120000||ACK|1|P|2.5\rMSA|{answer}|{control_id}\r{more}".encode()
