"""The renderer that others are given: one child at a time, bounded in time, killed when it exceeds that."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from typing import Final, Protocol

import structlog

from relayd.errors import RelaydError
from relayd.rendering.wire import (
    LENGTH,
    LONGEST,
    Made,
    MakePdf,
    Refused,
    Shown,
    ShowPdf,
    Variant,
    decode_answer,
    encode,
)

log = structlog.get_logger("relayd.rendering")

#: Seconds for one request; it includes the start of a child.
_PATIENCE: Final = 20.0
#: A child is replaced after this many requests, so that nothing a library leaks adds up.
_REQUESTS: Final = 200


class NotRendered(RelaydError):
    """This content can't be rendered, or not within the limits."""


class Renderer(Protocol):
    """Makes PDFs and shows them. Both raise NotRendered."""

    @property
    def makes_pdf(self) -> bool:
        """Whether this installation can: the extra ``pdf`` and pango are there."""
        ...

    async def make_pdf(
        self, html: str, original: bytes = b"", name: str = "", variant: Variant = Variant.PDF_A
    ) -> bytes: ...

    async def show_pdf(self, pdf: bytes, pages: int, width: int) -> Shown: ...


class ProcessRenderer:
    """Implements Renderer with a child process that starts when it is first needed."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._served = 0
        self.makes_pdf = importlib.util.find_spec("weasyprint") is not None

    async def make_pdf(
        self, html: str, original: bytes = b"", name: str = "", variant: Variant = Variant.PDF_A
    ) -> bytes:
        answer = await self._ask(MakePdf(html, original, name, variant))
        if not isinstance(answer, Made):
            raise NotRendered("no PDF came back")
        return answer.pdf

    async def show_pdf(self, pdf: bytes, pages: int, width: int) -> Shown:
        answer = await self._ask(ShowPdf(pdf, pages, width))
        if not isinstance(answer, Shown):
            raise NotRendered("no pictures came back")
        return answer

    async def close(self) -> None:
        """End the child."""
        self._kill()

    async def _ask(self, request: MakePdf | ShowPdf) -> Made | Shown:
        async with self._turn:
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await self._exchange(encode(request))
            except (TimeoutError, OSError, ValueError) as error:
                self._kill()
                log.warning("not_rendered", reason=type(error).__name__)
                raise NotRendered("the rendering process didn't answer") from error
            except asyncio.CancelledError:
                self._kill()
                raise
            self._served += 1
            if self._served >= _REQUESTS:
                self._kill()
        if isinstance(answer, Refused):
            log.info("not_rendered", reason=answer.reason)
            raise NotRendered(f"it can't be rendered: {answer.reason}")
        return answer

    async def _exchange(self, request: bytes) -> Made | Shown | Refused:
        loop = asyncio.get_running_loop()
        if self._channel is None:
            await self._start()
        assert self._channel is not None
        await loop.sock_sendall(self._channel, LENGTH.pack(len(request)) + request)
        (length,) = LENGTH.unpack(await self._read(loop, LENGTH.size))
        if length > LONGEST:
            raise ValueError("an answer of impossible length")
        answer: Made | Shown | Refused = decode_answer(await self._read(loop, length))
        return answer

    async def _read(self, loop: asyncio.AbstractEventLoop, length: int) -> bytes:
        assert self._channel is not None
        received = bytearray()
        while len(received) < length:
            block = await loop.sock_recv(self._channel, min(length - len(received), 2**18))
            if not block:
                raise ValueError("the rendering process is gone")
            received += block
        return bytes(received)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._channel, self._served = ours, 0
        self._process = await asyncio.to_thread(_spawn, theirs)

    def _kill(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _spawn(channel: socket.socket) -> subprocess.Popen[bytes]:
    with channel:
        return subprocess.Popen(  # noqa: S603 (our own interpreter with our own module)
            [sys.executable, "-I", "-m", "relayd.rendering.child", str(channel.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(channel.fileno(),),
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
