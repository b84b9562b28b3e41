"""One inspecting child as the worker sees it: started, asked, killed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

from relayd.errors import RelaydError
from relayd.inspection.wire import (
    ANSWER_HEADER,
    LONGEST_ANSWER,
    REQUEST_HEADER,
    Request,
    decode_inspection,
    encode,
)
from relayd.pipeline.findings import Inspection


class ChildLost(RelaydError):
    """The child ended, or answered nonsense, in the middle of a request."""


class Child:
    """Use :meth:`start`. After anything but a proper answer it must be killed: its state is unknown."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self.served = 0

    @classmethod
    async def start(cls) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        try:
            # The thread closes the other end itself: it may outlive this call when that is cancelled.
            process = await asyncio.to_thread(_spawn, theirs)
        except BaseException:
            ours.close()  # a child that starts all the same finds its channel closed, and ends
            raise
        return cls(process, ours)

    async def ask(self, memory: int, content_length: int, request: Request) -> Inspection:
        """Have the parts inspected that lie in the anonymous memory ``memory``; the request is put behind them."""
        loop = asyncio.get_running_loop()
        encoded = encode(request)
        os.pwrite(memory, encoded, content_length)
        try:
            socket.send_fds(self._channel, [REQUEST_HEADER.pack(content_length, len(encoded))], [memory])
            (length,) = ANSWER_HEADER.unpack(await self._read(loop, ANSWER_HEADER.size))
            if length > LONGEST_ANSWER:
                raise ChildLost("an answer of impossible length")
            answer = decode_inspection(await self._read(loop, length))
        except (OSError, ValueError) as error:
            raise ChildLost("the inspecting child is gone") from error
        self.served += 1
        return answer

    async def _read(self, loop: asyncio.AbstractEventLoop, length: int) -> bytes:
        received = bytearray()
        while len(received) < length:
            block = await loop.sock_recv(self._channel, min(length - len(received), 2**18))
            if not block:
                raise ChildLost("the inspecting child is gone")
            received += block
        return bytes(received)

    def kill(self) -> None:
        """End it at once. SIGKILL leaves nothing to wait for but the kernel."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


def _spawn(channel: socket.socket) -> subprocess.Popen[bytes]:
    with channel:
        return subprocess.Popen(  # noqa: S603 - our own interpreter with our own module
            [sys.executable, "-I", "-m", "relayd.inspection.child", str(channel.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(channel.fileno(),),
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,  # the terminal's Ctrl-C is the supervisor's to handle
        )
