r"""Plays ``tests/dialogues/*.smtp`` against a server: the scripted one of the tests, or a daemon at host:port.

::

    # what this shows
    ! kind=submission limits.errors=2     settings that the server needs (space between them)
    S: 220                                a reply: its code, then if given its enhanced code
    S+ SIZE 52428800                      the reply before also has this line
    S- STARTTLS                           ... and no line that begins with this word
    S: closed                             the server has closed the connection
    C: EHLO client.example                a line, CRLF added
    C*300 X-Long: x                       the same line 300 times
    C| half a line\x00                    just these octets, with Python's escapes
    TLS                                   the handshake

Lines of C that stand together are sent at once.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "dialogues"
_STEP = re.compile(r"(?:C\*(?P<times>\d+) |C: ?|C\| ?|S: |S\+ |S- |TLS$|! |#)")
_SECONDS = 10


@dataclass(frozen=True)
class Dialogue:
    path: Path
    settings: dict[str, str]
    steps: tuple[tuple[int, str], ...]


def read(path: Path) -> Dialogue:
    settings, steps = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        assert _STEP.match(line), f"{path.name}:{number}: not a step: {line}"
        if line.startswith("! "):
            settings.update(word.split("=", 1) for word in line[2:].split())
        else:
            steps.append((number, line))
    return Dialogue(path, settings, tuple(steps))


def all_dialogues() -> list[Path]:
    return sorted(FOLDER.glob("*.smtp"))


def _octets(line: str) -> bytes:
    match = _STEP.match(line)
    assert match
    text = line[match.end() :]
    if line.startswith("C|"):
        return codecs.escape_decode(text.encode())[0]  # type: ignore[attr-defined, no-any-return]
    return (text.encode() + b"\r\n") * int(match["times"] or 1)


class Client:
    """The client's side of a dialogue, also for tests that don't come from a file."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, host: str, port: int, context: ssl.SSLContext | None = None) -> Client:
        return cls(*await asyncio.open_connection(host, port, ssl=context))

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def reply(self) -> list[str]:
        """The lines of one reply, each with its code; [] when the connection was closed."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            async with asyncio.timeout(_SECONDS):
                try:
                    line = await self.reader.readline()
                except ConnectionError:
                    line = b""
            if not line:
                return []
            assert line.endswith(b"\r\n")
            lines.append(line[:-2].decode("ascii"))
        return lines

    async def say(self, text: str | bytes) -> str:
        """Send one line; the last line of its reply, "" when the connection was closed."""
        self.send((text.encode() if isinstance(text, str) else text) + b"\r\n")
        reply = await self.reply()
        return reply[-1] if reply else ""

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname="localhost")

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


async def play(dialogue: Dialogue, host: str, port: int, context: ssl.SSLContext) -> None:
    implicit = dialogue.settings.get("tls") == "implicit"
    client = await Client.connect(host, port, context if implicit else None)
    last: list[str] = []
    outgoing = b""
    try:
        for number, step in dialogue.steps:
            where = f"{dialogue.path.name}:{number}"
            if step.startswith("C"):
                outgoing += _octets(step)
                continue
            client.send(outgoing)
            outgoing = b""
            if step == "TLS":
                await client.start_tls(context)
            elif step.startswith("S: "):
                last = await client.reply()
                _compare(where, step[3:], last)
            else:
                found = any(line[4:].startswith(step[3:]) for line in last)
                assert found == step.startswith("S+"), f"{where}: {step}, but the reply was {last}"
    finally:
        await client.close()


def _compare(where: str, expected: str, reply: list[str]) -> None:
    if expected == "closed":
        assert not reply, f"{where}: expected the end, got {reply}"
        return
    assert reply, f"{where}: expected {expected}, got the end"
    code, _, enhanced = expected.partition(" ")
    for line in reply:
        assert line[:3] == code, f"{where}: expected {expected}, got {reply}"
        if enhanced:
            assert line[4:].split(" ")[0] == enhanced, f"{where}: expected {expected}, got {reply}"
