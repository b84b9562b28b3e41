"""The renderer that others are given: two children, bounded in memory and time, killed when they exceed that.

One makes HTML harmless, which is quick and what readers wait for; the other makes and shows PDFs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from relayd.errors import RelaydError
from relayd.rendering.sanitise import sanitise
from relayd.rendering.wire import (
    LENGTH,
    LONGEST,
    Answer,
    Clean,
    Leaf,
    Made,
    MakePdf,
    Refused,
    Remade,
    Remake,
    Request,
    Sanitised,
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
#: Seconds for making HTML harmless: a megabyte of ordinary mail takes a tenth of one.
_CLEANING: Final = 5.0
#: Characters of HTML that can't grow to anything that matters; for them no child is needed.
_SMALL: Final = 8 * 1024


class NotRendered(RelaydError):
    """This content can't be rendered, or not within the limits."""


class NotAnswered(NotRendered):
    """The rendering process died or took too long: by this content, or because the machine has too much to do."""


class Renderer(Protocol):
    """Makes HTML harmless, makes PDFs and shows them. All three raise NotRendered."""

    @property
    def makes_pdf(self) -> bool:
        """Whether this installation can: the extra ``pdf`` and pango are there."""
        ...

    async def clean(self, html: str, pictures: Mapping[str, str], room: int) -> Sanitised:
        """See ``sanitise``."""
        ...

    async def make_pdf(
        self, html: str, original: bytes = b"", name: str = "", variant: Variant = Variant.PDF_A
    ) -> bytes: ...

    async def show_pdf(self, pdf: bytes, pages: int, width: int) -> Shown: ...


class ProcessRenderer:
    """Implements Renderer with child processes that start when they are first needed."""

    def __init__(self) -> None:
        self._cleaner, self._maker = _Child(), _Child()
        self.makes_pdf = importlib.util.find_spec("weasyprint") is not None

    async def clean(self, html: str, pictures: Mapping[str, str], room: int) -> Sanitised:
        if len(html) <= _SMALL:
            return await asyncio.to_thread(sanitise, html, pictures, room)
        answer = await self._cleaner.ask(Clean(html, dict(pictures), room), _CLEANING)
        if not isinstance(answer, Sanitised):
            raise NotRendered("no HTML came back")
        return answer

    async def make_pdf(
        self, html: str, original: bytes = b"", name: str = "", variant: Variant = Variant.PDF_A
    ) -> bytes:
        answer = await self._maker.ask(MakePdf(html, original, name, variant), _PATIENCE)
        if not isinstance(answer, Made):
            raise NotRendered("no PDF came back")
        return answer.pdf

    async def remake(self, transform: str, options: dict[str, str], leaves: tuple[Leaf, ...]) -> Remade:
        """What this transform makes of the leaves. Raises NotRendered."""
        answer = await self._maker.ask(Remake(transform, options, leaves), _PATIENCE)
        if not isinstance(answer, Remade):
            raise NotRendered("no content came back")
        return answer

    async def show_pdf(self, pdf: bytes, pages: int, width: int) -> Shown:
        answer = await self._maker.ask(ShowPdf(pdf, pages, width), _PATIENCE)
        if not isinstance(answer, Shown):
            raise NotRendered("no pictures came back")
        return answer

    async def close(self) -> None:
        """End the children."""
        self._cleaner.kill()
        self._maker.kill()


class _Child:
    """One process, asked one thing at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._served = 0

    async def ask(self, request: Request, patience: float) -> Sanitised | Made | Shown | Remade:
        """Its answer within ``patience`` seconds from when its turn comes. Raises NotRendered."""
        async with self._turn:
            try:
                async with asyncio.timeout(patience):
                    answer = await self._exchange(encode(request))
            except (TimeoutError, OSError, ValueError) as error:
                self.kill()
                log.warning("not_rendered", reason=type(error).__name__)
                raise NotAnswered("the rendering process didn't answer") from error
            except asyncio.CancelledError:
                self.kill()
                raise
            self._served += 1
            if self._served >= _REQUESTS:
                self.kill()
        if isinstance(answer, Refused):
            log.info("not_rendered", reason=answer.reason)
            raise NotRendered(f"it can't be rendered: {answer.reason}")
        return answer

    async def _exchange(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if self._channel is None:
            await self._start()
        assert self._channel is not None
        await loop.sock_sendall(self._channel, LENGTH.pack(len(request)) + request)
        (length,) = LENGTH.unpack(await self._read(loop, LENGTH.size))
        if length > LONGEST:
            raise ValueError("an answer of impossible length")
        answer: Answer = decode_answer(await self._read(loop, length))
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

    def kill(self) -> None:
        """End it; the next request starts another."""
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
