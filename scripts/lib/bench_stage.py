"""What the benches of memory and of loop lag share: relayd between a hospital and a partner, both with TLS.

Everything is as in production: the sender shows a client certificate, all policies judge, content is sealed, the
partner's certificate is proven and its TLS verified.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import tempfile
import threading
import time
from base64 import encodebytes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.daemon import RelayProcess
from tests.kit.mail import plain
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import COLLEAGUE, DOCTOR
from tests.kit.wait import wait_for

WORKERS = 2


@dataclass(frozen=True)
class Stage:
    """The three that take part."""

    site: Site
    relayd: RelayProcess
    partner: Sink

    def drained(self, patience: float = 300.0) -> None:
        """Wait until everything accepted has been delivered."""
        wait_for(lambda: not self.relayd.json("queue", "list"), "the queue to drain", patience)


@contextmanager
def stage(parent: Path, change: Callable[[Site], None] = lambda site: None, *, keep: bool = False) -> Iterator[Stage]:
    """All three in a folder of ``parent`` for as long as the context lasts. ``change`` may alter the configuration;
    ``keep``: what the partner gets can be looked at."""
    folder = Path(tempfile.mkdtemp(prefix="relayd-bench-", dir=parent))
    try:
        site = Site(folder)
        site.relayd |= {"workers": WORKERS, "log": "json"}
        change(site)
        with (
            Sink(folder / "partner", site.partner, port=site.partner_port, keep=keep) as partner,
            RelayProcess(site) as relayd,
        ):
            yield Stage(site, relayd, partner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def small(size: int = 4096) -> bytes:
    """A message of this many octets, ready for the wire but for its end."""
    return plain("<load@noord.example>", DOCTOR, COLLEAGUE, size)


def scan(size: int) -> bytes:
    """Content that gets no smaller by compression and passes for an image. (Without its first octets libmagic takes
    some random content for a program.)"""
    return b"II*\0" + os.urandom(size - 4)


def with_attachment(name: str, content: bytes) -> bytes:
    """The same with one attachment in base64. (Made by hand: the email package takes seconds for as much.)"""
    fields = [f"From: {DOCTOR}", f"To: {COLLEAGUE}", "Subject: load", "MIME-Version: 1.0"]
    fields += ["Content-Type: application/octet-stream", "Content-Transfer-Encoding: base64"]
    fields += [f'Content-Disposition: attachment; filename="{name}"', "", ""]
    return "\r\n".join(fields).encode() + encodebytes(content).replace(b"\n", b"\r\n")


def send(client: smtplib.SMTP, wire: bytes) -> float:
    """Send a message that is ready for the wire: lines end in CRLF and none begins with a dot. How long the server
    took from our MAIL to its 250, in seconds."""
    started = time.monotonic()
    client.ehlo_or_helo_if_needed()
    for reply in (client.mail(DOCTOR), client.rcpt(COLLEAGUE), client.docmd("DATA")):
        if reply[0] >= 400:
            raise smtplib.SMTPResponseException(*reply)
    assert client.sock is not None
    # Else the end of the data waits for the acknowledgement of what is before it.
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sock.sendall(wire)
    client.sock.sendall(b".\r\n")
    code, text = client.getreply()
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    return time.monotonic() - started


class Crowd:
    """Threads that each do the same over and over until the context ends, or ``rounds`` times; what they return is
    kept. What one of them raises, the context raises at its end."""

    def __init__(self, work: Sequence[Callable[[Crowd], None]]) -> None:
        self.took: list[float] = []
        self.stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in work]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()

    def join(self) -> None:
        """Wait until all have finished by themselves."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, work: Callable[[Crowd], None]) -> None:
        try:
            work(self)
        except BaseException as error:
            self._errors.append(error)


def senders(relayd: RelayProcess, count: int, wire: bytes, *, each: int | None = None, pause: float = 0.0) -> Crowd:
    """Sessions of the hospital that send the same message, ``each`` times or without end, ``pause`` seconds apart."""

    def work(crowd: Crowd) -> None:
        sent = 0
        with relayd.hospital() as client:
            while sent != each and not crowd.stop.is_set():
                crowd.took.append(send(client, wire))
                sent += 1
                crowd.stop.wait(pause)

    return Crowd([work] * count)


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f}"


def share(values: Sequence[float], part: float) -> float | None:
    """The value that this part of them doesn't exceed; None without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


def footnote(command: str) -> str:
    """What made a table, and what else the machine was doing."""
    return f"`{command}`, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} at the end"


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
