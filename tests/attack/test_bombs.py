"""Archives and documents made to exhaust whoever opens them: bounded in memory, and decided by the policy's setting."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import py7zr
import pytest
import pytest_asyncio

from policies.attachments import AttachmentsOptions, AttachmentsPolicy
from relayd.inspection.inspector import ProcessInspector
from relayd.pipeline.policy import InspectionLimits, Stage
from relayd.pipeline.verdict import Hold, Refuse
from tests.kit.judging import context, listed, mail
from tests.kit.usage import family

#: One inspecting child for all, and one loop that it belongs to.
pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
#: The most that an inspecting child may ever have held: its interpreter, and three shares of 64 MiB.
MOST_RESIDENT = 320 * MIB


def zipped(*members: tuple[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members:
            archive.writestr(name, octets)
    return memory.getvalue()


def wide_bomb() -> bytes:
    """Zips of zeros, many beside each other."""
    zeros = zipped(("zeros.txt", bytes(16 * MIB)))
    return zipped(*((f"{number}.zip", zeros) for number in range(60)))


def deep_bomb() -> bytes:
    """What a quine looks like to somebody who unpacks: another archive each time, without end."""
    octets = zipped(("end.txt", b"x"))
    for number in range(40):
        octets = zipped((f"{number}.zip", octets))
    return octets


def overlapping_zip() -> bytes:
    """Many directory entries that share one body (David Fifield's bomb in its simplest form)."""
    octets = zipped(("a.txt", bytes(8 * MIB)))
    start = octets.index(b"PK\x01\x02")
    end = octets.index(b"PK\x05\x06")
    directory, count = octets[start:end], 200
    closing = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory) * count, start, 0)
    return octets[:start] + directory * count + closing


def endless_directory() -> bytes:
    """A directory of very many entries for files that aren't there."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 66_000
    count = 65_535
    return directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), 0, 0)


def sparse_tar() -> bytes:
    """A file of 200 GiB that is a hole (GNU sparse 1.0)."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo("hole.bin")
        header.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "hole.bin",
            "GNU.sparse.realsize": str(200 << 30),
        }
        body = b"1\n0\n1\n".ljust(512, b"\0") + b"x"
        header.size = len(body)
        archive.addfile(header, io.BytesIO(body))
    return memory.getvalue()


def seven_zip_bomb() -> bytes:
    memory = io.BytesIO()
    with py7zr.SevenZipFile(memory, "w") as archive:
        archive.writestr(bytes(64 * MIB), "zeros.txt")
    return memory.getvalue()


def tar_gz_bomb() -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz", compresslevel=9) as archive:
        for number in range(8):
            header = tarfile.TarInfo(f"{number}.txt")
            header.size = 16 * MIB
            archive.addfile(header, io.BytesIO(bytes(16 * MIB)))
    return memory.getvalue()


def twice_gzipped() -> bytes:
    return gzip.compress(gzip.compress(bytes(100 * MIB)))


BOMBS = {
    "wide.zip": wide_bomb,
    "deep.zip": deep_bomb,
    "overlapping.zip": overlapping_zip,
    "endless.zip": endless_directory,
    "sparse.tar": sparse_tar,
    "zeros.7z": seven_zip_bomb,
    "zeros.tgz": tar_gz_bomb,
    "zeros.gz.gz": twice_gzipped,
    "zeros.xz": lambda: lzma.compress(bytes(100 * MIB), preset=0),
}
made = cache(lambda name: BOMBS[name]())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspector() -> AsyncIterator[ProcessInspector]:
    inspector = ProcessInspector()
    yield inspector
    await inspector.close()


def attached(name: str, octets: bytes) -> bytes:
    message = EmailMessage()
    message["From"] = "a@x.example"
    message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


async def verdict(inspector: ProcessInspector, name: str, octets: bytes, **options: object) -> str:
    policy = AttachmentsPolicy(AttachmentsOptions.model_validate(options))
    verdicts = listed(await policy.judge(mail(attached(name, octets)), Stage.MESSAGE, context(inspector=inspector)))
    if any(isinstance(one, Refuse) for one in verdicts):
        return "refused"
    return "held" if any(isinstance(one, Hold) for one in verdicts) else "passed"


def most_resident() -> int:
    """The highest resident size that any inspecting child had, in octets."""
    highest = 0
    for pid in family(os.getpid()):
        status = Path(f"/proc/{pid}/status").read_text()
        if "relayd-inspect" in status:
            highest = max(highest, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
    return highest


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_uninspectable_and_takes_no_more_than_its_share(inspector: ProcessInspector, name: str) -> None:
    assert await verdict(inspector, name, made(name)) == "refused"
    assert 0 < most_resident() < MOST_RESIDENT


@pytest.mark.parametrize(("choice", "outcome"), [("hold", "held"), ("pass", "passed")])
async def test_what_becomes_of_a_bomb_is_a_setting(inspector: ProcessInspector, choice: str, outcome: str) -> None:
    for name in ("deep.zip", "overlapping.zip", "sparse.tar"):
        assert await verdict(inspector, name, made(name), uninspectable=choice) == outcome


@pytest.mark.parametrize(("count", "length"), [(60, 60_000), (4000, 500)])
async def test_names_without_content_are_bounded_before_they_come_to_be_judged(
    inspector: ProcessInspector, count: int, length: int
) -> None:
    """The policy judges names in the worker, whose loop serves everybody else too."""
    octets = zipped(*((f"{number:04}" + "n" * (length - 4), b"") for number in range(count)))
    inspection = await inspector.inspect(mail(attached("names.zip", octets)), InspectionLimits())
    assert sum(len(name) for found in inspection.files for name in found.names) < 1_100_000
    assert await verdict(inspector, "names.zip", octets) == "refused"


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "%s">%s]><a>&j;</a>' % (
    b"x" * 50,
    b"".join(b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 20) for n in range(9)),
)


@pytest.mark.parametrize("name", ["letter.docx", "sheet.xlsx", "slides.pptx", "letter.odt"])
async def test_entities_within_a_document_are_not_expanded(inspector: ProcessInspector, name: str) -> None:
    """Nothing here parses XML, so nothing can be made to expand it: 20 to the ninth times 50 octets stay 2 KiB."""
    octets = zipped(("[Content_Types].xml", ENTITIES), ("word/document.xml", ENTITIES), ("content.xml", ENTITIES))
    assert await verdict(inspector, name, octets) == "passed"
    assert most_resident() < MOST_RESIDENT


def rar(name: bytes, content: bytes) -> bytes:
    """A RAR 4 archive with one stored file, from the format's description (technote.txt)."""

    def block(kind: int, flags: int, fields: bytes, body: bytes = b"") -> bytes:
        rest = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest + body

    fields = struct.pack(
        "<2IB2I2BHI", len(content), len(content), 3, zlib.crc32(content), 0x5A210000, 20, 0x30, len(name), 0x81A4
    )
    archive = block(0x73, 0, bytes(6))
    return b"Rar!\x1a\x07\x00" + archive + block(0x74, 0x8000, fields + name, content) + block(0x7B, 0x4000, b"")


def with_another_name_in_unicode(directory: bool, local: bool) -> bytes:
    """A zip whose extra field (0x7075, Info-ZIP's Unicode path) names the file otherwise than its header does."""

    def extra(name: bytes, shown: bytes) -> bytes:
        body = b"\x01" + struct.pack("<I", zlib.crc32(name)) + shown
        return struct.pack("<HH", 0x7075, len(body)) + body

    name, content = b"letter.txt", b"anything"
    field = extra(name, b"invoice.exe")
    facts = struct.pack("<5H3I", 20, 0, 0, 0, 0, zlib.crc32(content), len(content), len(content))
    here, there = (field if local else b""), (field if directory else b"")
    first = b"PK\x03\x04" + facts + struct.pack("<2H", len(name), len(here)) + name + here + content
    second = b"PK\x01\x02\x14\x00" + facts + struct.pack("<5H2I", len(name), len(there), 0, 0, 0, 0, 0) + name + there
    return first + second + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(second), len(first), 0)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("a.rar", rar(b"invoice.exe", b"anything")),
        ("a.rar", rar(b"letter.txt", b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0\x4c\x01" + bytes(400))),
        ("a.zip", with_another_name_in_unicode(directory=True, local=True)),
        ("a.zip", with_another_name_in_unicode(directory=True, local=False)),
        ("a.zip", with_another_name_in_unicode(directory=False, local=True)),
    ],
    ids=["rar name", "rar content", "both unicode paths", "unicode path in the directory", "unicode path before it"],
)
async def test_a_file_that_any_program_would_unpack_is_found(
    inspector: ProcessInspector, name: str, octets: bytes
) -> None:
    assert await verdict(inspector, name, octets) == "refused"
    assert await verdict(inspector, name, rar(b"letter.txt", b"hello") if name == "a.rar" else zipped()) == "passed"
