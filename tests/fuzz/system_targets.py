"""What must hold of the parsers of everything else: wires, archives, files, keys."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import tempfile
from ipaddress import ip_address
from pathlib import Path

import aiosmtplib
import magic
import msgspec

from relayd.delivery.stuffing import DotStuffer
from relayd.delivery.wire import MAX_REPLY, Wire, announced, reply_text
from relayd.errors import SealBroken, SyntaxInvalid
from relayd.inspection import zipcheck
from relayd.inspection.walk import Walk
from relayd.inspection.wire import Slice
from relayd.mail.meta import MessageMeta
from relayd.pipeline.policy import InspectionLimits
from relayd.settings.accounts import read_accounts
from relayd.settings.contacts import read_contacts
from relayd.settings.source import parse
from relayd.smtp.data import DotReader, clean
from relayd.smtp.proxy import Origin, ProxyHeaderInvalid, read_header
from relayd.smtp.scram import Exchange
from relayd.store.wire import ARGUMENTS, RESULTS, Answer, Frames, Request
from relayd.vault.epochs import EpochKeys, epoch_of
from relayd.vault.keyring import generate
from relayd.vault.meta import open_meta, seal_meta
from relayd.vault.vault import Vault
from tests.fuzz.mail_targets import SIZES, cut, text_of


def dots(data: bytes) -> None:
    """DATA ends at its first CRLF.CRLF, block borders don't matter, and stuffing is undone by reading."""
    ends = (b"\r\n" + data).find(b"\r\n.\r\n")
    results = []
    for size in (*SIZES, len(data) or 1):
        reader, content, rest = DotReader(), b"", b""
        for block in cut(data, size):
            if reader.ended:
                rest += block
            else:
                content += reader.feed(block)
                rest = reader.rest
        assert reader.ended == (ends >= 0)
        results.append((content, rest) if reader.ended else None)
    assert len(set(results)) == 1
    if clean(data):
        for size in (*SIZES, len(data) or 1):
            stuffer, reader = DotStuffer(), DotReader()
            sent = b"".join([*map(stuffer.feed, cut(data, size)), stuffer.end()])
            assert sent.count(b"\r\n.\r\n") + sent.startswith(b".\r\n") == 1
            assert reader.feed(sent) == data + (b"" if data.endswith(b"\r\n") or not data else b"\r\n")
            assert (reader.ended, reader.rest) == (True, b"")


def replies(data: bytes) -> None:
    """Replies of a next hop are the same in any blocks, their words printable, and their memory bounded."""
    asyncio.run(_replies(data))


async def _replies(data: bytes) -> None:
    results = []
    for size in (*SIZES, len(data) or 1):
        wire = Wire(asyncio.get_running_loop())
        wire.expect(50)
        for block in cut(data, size):
            if wire._broken is None:
                wire.data_received(block)
        assert wire._broken is not None or len(wire._buffer) + wire._size <= MAX_REPLY
        results.append((tuple(wire._replies), wire._broken is not None))
    assert len(set(results)) == 1
    for code, text in results[0][0]:
        assert 200 <= code < 600
        assert reply_text(aiosmtplib.SMTPResponse(code, text)).isprintable()
        assert announced(text) >= 0


class _Pretended:
    """A loop whose socket gives these octets, some at a time, and then ends."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size
        self.taken = 0

    async def sock_recv(self, _: object, count: int) -> bytes:
        block = self._data[self.taken : self.taken + min(count, self._size)]
        self.taken += len(block)
        return block


def proxy(data: bytes) -> None:
    """A header is read to its end and no further, or it is invalid; nothing else happens."""
    asyncio.run(_proxy(data))


async def _proxy(data: bytes) -> None:
    results = []
    for size in (1, 7, 100_000):
        pretended = _Pretended(data + b"EHLO c.example\r\n", size)
        balancer = Origin(ip_address("192.0.2.1"), 1)
        try:
            origin = await read_header(pretended, None, balancer)  # type: ignore[arg-type]
        except ProxyHeaderInvalid:
            results.append(None)
            continue
        assert 0 <= origin.port < 65536
        results.append((origin, pretended.taken))
    assert len(set(results)) == 1


def scram(data: bytes) -> None:
    """Only SyntaxInvalid, and nobody acts as somebody else."""
    with contextlib.suppress(SyntaxInvalid):
        exchange = Exchange(data)
        assert exchange.username
        first = text_of(data)
        if "a=" in first.split("n=", 1)[0]:
            assert first.split(",")[1].removeprefix("a=").replace("=2C", ",").replace("=3D", "=") == exchange.username


def settings(data: bytes) -> None:
    """YAML in any shape gives values or problems with a line."""
    source, problems = parse(Path("relayd.yaml"), data.decode("utf-8", "replace"))
    assert problems or source is not None
    for problem in problems:
        assert problem.line is None or problem.line >= 1
    source.line(("listeners", 0, "address"))


def accounts(data: bytes) -> None:
    """Account and contact files give entries or problems, and never quote a verifier."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        read_accounts(path)
        contacts, _ = read_contacts(path)
        assert all("@" in key and number.startswith("+") for key, number in contacts.items())


_LIMITS = InspectionLimits(depth=4, members=200, unpacked=8 << 20, ratio=50, seconds=5.0)
_detector = functools.cache(lambda: magic.Magic(mime=True))


def containers(data: bytes) -> None:
    """Any octets under any name are looked into within the limits, or said not to be."""
    for name in ("a.bin", "a.zip", "a.tar", "a.eml", "a.gz"):
        memory = memoryview(bytearray(data))
        found = Walk(_LIMITS, _detector().from_buffer).run(
            memory, (Slice("1", (name,), "application/octet-stream", 0, len(data)),)
        )
        assert len(found.files) <= _LIMITS.members + 2
        assert found.complete or found.reason
    zipcheck.contradiction(memoryview(data), 1000)


def frames(data: bytes) -> None:
    """Frames on the store's socket are the same in any blocks; what is in them is what it should be, or refused."""
    results = []
    for size in (*SIZES, len(data) or 1):
        reader, found = Frames(), []
        try:
            for block in cut(data, size):
                found += reader.feed(block)
        except ValueError:
            found.append(b"too long")
        results.append(tuple(found))
    assert len(set(results)) == 1
    for payload in (*results[0], data):
        for kind in (Request, Answer):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                msgspec.msgpack.decode(payload, type=kind)
        for decode in (*ARGUMENTS.values(), *RESULTS.values()):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                decode.decode(payload)


@functools.cache
def _sealed() -> tuple[Vault, bytes, bytes]:
    folder = Path(tempfile.mkdtemp(prefix="relayd-fuzz-"))
    keyring = generate(folder / "keys")
    vault = Vault(keyring, EpochKeys(folder / "keys" / "epochs", keyring))
    key = vault.new("org", epoch_of(1.8e9), "m1")
    return vault, key.wrapped, seal_meta(key, MessageMeta(7, subject="x"))


def sealed(data: bytes) -> None:
    """What wasn't sealed with a key isn't opened by it: not one octet of it counts."""
    vault, wrapped, meta = _sealed()
    key = vault.open("org", epoch_of(1.8e9), "m1", wrapped)
    assert open_meta(key, meta).subject == "x"
    altered = bytes(a ^ b for a, b in zip(meta, data.ljust(len(meta), b"\0"), strict=False))
    for octets in (data, altered, meta + data, meta[: len(data) % len(meta)]):
        if octets != meta:
            with contextlib.suppress(SealBroken):
                open_meta(key, octets)
                raise AssertionError("opened")


def own_words(data: bytes) -> None:
    """Numbers that a peer announces are numbers or nothing."""
    text = text_of(data)
    assert announced(text) == (int(text) if re.fullmatch(r"[0-9]{1,20}", text) else 0)
