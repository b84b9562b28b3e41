"""A partner's mail server: a process of its own that takes mail over TLS and writes a receipt, synced, before its 250.

What a recipient's address begins with decides what becomes of it, so that a test needs no other channel:

=============  =====================================================================
``refuse``     550 at RCPT
``dotrefuse``  554 after the data
``later``      450 at RCPT the first time this address is tried, then accepted
``never``      450 at RCPT, always; but see :meth:`Sink.give_in`
``dotlater``   451 after the data the first time, then accepted
``drop``       receipt written, then the connection closed without a reply, the first time
=============  =====================================================================

A receipt is one JSON line; see :class:`Receipt`. So is a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.kit.ca import Certificate
from tests.kit.ports import free_port
from tests.kit.process import Child, python
from tests.kit.wait import wait_for

_PATH = re.compile(r"(?:FROM|TO):\s*<([^>]*)>(.*)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_QUEUE_ID = re.compile(rb"^received:[^;]*\sid\s(\S+)", re.IGNORECASE | re.MULTILINE)
#: RFC 3464 §2.3: what a report says of one recipient. Ours put these two lines together.
_REPORTED = re.compile(rb"^final-recipient:[^;]*;\s*(\S+)\s*^action:\s*(\w+)", re.IGNORECASE | re.MULTILINE)
_BIGGEST = 256 * 2**20
_GIVEN_IN = "given-in"


@dataclass(frozen=True)
class Receipt:
    """One accepted transaction. ``sha256`` is of the body, the part after the header's empty line.

    ``at`` is by the clock that all processes of the machine share (``time.monotonic``). ``queue_id`` is the id in the
    topmost Received. ``reported`` is what a report (RFC 3464) says: recipients and the action of each.
    """

    message_id: str
    sender: str
    recipients: list[str]
    parameters: dict[str, str]
    size: int
    sha256: str
    helo: str
    tls: str = ""
    client: str = ""
    file: str = ""
    at: float = 0.0
    queue_id: str = ""
    reported: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """One recipient that was refused (5yz) or put off (4yz), at RCPT or after the data."""

    recipient: str
    reply: str
    at: float


class Sink:
    """Starts the server below and reads what it wrote."""

    def __init__(
        self,
        folder: Path,
        certificate: Certificate | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        keep: bool = True,
        hostname: str = "mail.partner.example",
        pause: float = 0.0,
    ) -> None:
        """``pause``: seconds that pass between the end of a message and its receipt."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.folder = folder
        self._receipts = folder / "receipts.jsonl"
        self._refusals = folder / "refusals.jsonl"
        command = [*python("tests.kit.sink"), "--address", address, "--port", str(self.port), "--folder", str(folder)]
        command += ["--hostname", hostname, "--pause", str(pause)]
        if certificate:
            command += ["--certificate", str(certificate.certificate), "--key", str(certificate.key)]
        if keep:
            command.append("--keep")
        self._ready = folder / "ready"
        self._ready.unlink(missing_ok=True)
        self._child = Child(command, folder / "log")
        wait_for(self._is_ready, f"partner server on port {self.port}")

    @property
    def receipts(self) -> list[Receipt]:
        if not self._receipts.exists():
            return []
        return [Receipt(**json.loads(line)) for line in self._receipts.read_text().splitlines()]

    @property
    def refusals(self) -> list[Refusal]:
        return [Refusal(**json.loads(line)) for line in self._refusals.read_text().splitlines()]

    def wait_for_receipt(self, match: str, timeout: float = 30.0) -> Receipt:
        """The receipt whose Message-ID or one of whose recipients is ``match``."""

        def find() -> Receipt | None:
            return next((r for r in self.receipts if match == r.message_id or match in r.recipients), None)

        return wait_for(find, f"receipt for {match}", timeout)

    def give_in(self) -> None:
        """From now on take what begins with "never" too."""
        (self.folder / _GIVEN_IN).touch()

    def content(self, receipt: Receipt) -> bytes:
        return (self.folder / receipt.file).read_bytes()

    def stop(self) -> None:
        self._child.stop()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        if self._child.returncode is not None:
            raise RuntimeError(f"the partner server ended: {self._child.output}")
        return self._ready.exists()


@dataclass
class _Server:
    folder: Path
    hostname: str
    keep: bool
    context: ssl.SSLContext | None
    pause: float
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self._receipts = os.open(self.folder / "receipts.jsonl", flags, 0o600)
        self._refusals = os.open(self.folder / "refusals.jsonl", flags, 0o600)
        self._count = 0

    def first_time(self, key: str) -> bool:
        if key in self.seen:
            return False
        self.seen.add(key)
        return True

    def refuse(self, recipients: list[str], reply: str) -> str:
        """Note a refusal; returns the reply."""
        for recipient in recipients:
            line = json.dumps(asdict(Refusal(recipient, reply, time.monotonic())))
            os.write(self._refusals, line.encode() + b"\n")
        return reply

    def write(self, receipt: Receipt, content: bytes) -> None:
        facts = asdict(receipt)
        if self.keep:
            self._count += 1
            facts["file"] = f"{os.getpid()}-{self._count}.eml"
            (self.folder / facts["file"]).write_bytes(content)
        os.write(self._receipts, json.dumps(facts).encode() + b"\n")
        os.fdatasync(self._receipts)


class _Session:
    """One connection, command by command."""

    def __init__(self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._helo = ""
        self._tls = False
        self._reset()
        self._verbs: dict[str, Callable[[str], str]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "RSET": self._rset,
            "NOOP": lambda _: "250 2.0.0 fine",
        }

    async def run(self) -> None:
        self._say(f"220 {self._server.hostname} ESMTP")
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode("utf-8", "replace").rstrip()
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                self._say("221 2.0.0 bye")
                return
            if verb == "STARTTLS" and self._server.context and not self._tls:
                await self._starttls()
            elif verb == "DATA":
                if not await self._data():
                    return
            elif verb in self._verbs:
                self._say(self._verbs[verb](argument))
            else:
                self._say("502 5.5.1 no such command")
            await self._writer.drain()

    def _say(self, reply: str) -> None:
        self._writer.write(reply.encode() + b"\r\n")

    def _reset(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._parameters: dict[str, str] = {}

    def _ehlo(self, argument: str) -> str:
        self._helo = argument
        self._reset()
        offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", f"SIZE {_BIGGEST}"]
        if self._server.context and not self._tls:
            offers.append("STARTTLS")
        lines = [self._server.hostname, *offers]
        return "\r\n".join(f"250{'-' if n < len(lines) else ' '}{line}" for n, line in enumerate(lines, 1))

    async def _starttls(self) -> None:
        self._say("220 2.0.0 go ahead")
        await self._writer.drain()
        await self._writer.start_tls(self._server.context, ssl_handshake_timeout=20)
        self._tls = True
        self._reset()

    def _mail(self, argument: str) -> str:
        match = _PATH.fullmatch(argument)
        if not match:
            return "501 5.5.4 a path is missing"
        if self._server.context and not self._tls:
            return "530 5.7.0 TLS first"
        self._reset()
        self._sender = match[1]
        self._parameters["MAIL"] = match[2].strip()
        return "250 2.1.0 fine"

    def _rcpt(self, argument: str) -> str:
        match = _PATH.fullmatch(argument)
        if not match or self._sender is None:
            return "503 5.5.1 not now"
        address = match[1]
        if address.startswith("refuse"):
            return self._server.refuse([address], "550 5.1.1 nobody here by that name")
        if (address.startswith("never") and not (self._server.folder / _GIVEN_IN).exists()) or (
            address.startswith("later") and self._server.first_time(address)
        ):
            return self._server.refuse([address], "450 4.2.1 come back later")
        self._recipients.append(address)
        self._parameters[address] = match[2].strip()
        return "250 2.1.5 fine"

    def _rset(self, _: str) -> str:
        self._reset()
        return "250 2.0.0 forgotten"

    async def _data(self) -> bool:
        if not self._recipients:
            self._say("503 5.5.1 no recipients")
            return True
        self._say("354 go on")
        await self._writer.drain()
        content = await self._reader.readuntil(b"\r\n.\r\n")
        content = content[:-3].replace(b"\r\n..", b"\r\n.")
        content = content[1:] if content.startswith(b"..") else content
        if refusal := self._refusal():
            self._say(self._server.refuse(self._recipients, refusal))
            self._reset()
            return True
        await asyncio.sleep(self._server.pause)
        self._server.write(self._receipt(content), content)
        if any(a.startswith("drop") and self._server.first_time(a) for a in self._recipients):
            self._writer.transport.abort()
            return False
        self._say("250 2.0.0 taken")
        self._reset()
        return True

    def _refusal(self) -> str:
        """What is said after the data, to all, for the sake of one recipient; "" when it is taken."""
        if any(address.startswith("dotrefuse") for address in self._recipients):
            return "554 5.7.1 nobody here wants that"
        late = [a for a in self._recipients if a.startswith("dotlater") and self._server.first_time(a)]
        return "451 4.3.0 come back later" if late else ""

    def _receipt(self, content: bytes) -> Receipt:
        head, _, body = content.partition(b"\r\n\r\n")
        found, queued = _MESSAGE_ID.search(head), _QUEUE_ID.search(head)
        tls = self._writer.get_extra_info("ssl_object")
        peer = self._writer.get_extra_info("peername")
        return Receipt(
            message_id=found[1].decode("utf-8", "replace") if found else "",
            sender=self._sender or "",
            recipients=self._recipients,
            parameters={key: value for key, value in self._parameters.items() if value},
            size=len(content),
            sha256=sha256(body).hexdigest(),
            helo=self._helo,
            tls=tls.version() if tls else "",
            client=str(peer[0]) if peer else "",
            at=time.monotonic(),
            queue_id=queued[1].decode() if queued else "",
            reported={a.decode(): b.decode() for a, b in _REPORTED.findall(body)} if not self._sender else {},
        )


async def _serve(arguments: argparse.Namespace) -> None:
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    server = _Server(arguments.folder, arguments.hostname, arguments.keep, context, arguments.pause)

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Session(server, reader, writer).run()
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    listening = await asyncio.start_server(session, arguments.address, arguments.port, limit=_BIGGEST, backlog=1000)
    (arguments.folder / "ready").touch()
    async with listening:
        await listening.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--hostname", required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
