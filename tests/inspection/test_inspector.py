"""What the inspector finds in attachments, through the real child process."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import signal
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import py7zr
import pytest

from relayd.inspection.inspector import ProcessInspector
from relayd.mail.address import NULL_SENDER
from relayd.mail.envelope import Envelope
from relayd.mail.headers import Headers
from relayd.mail.meta import Part
from relayd.pipeline.policy import Found, Inspection, InspectionLimits, Mail
from tests.kit.judging import STRANGER, MemoryBody, peer

PE = b"MZ" + b"\0" * 58 + struct.pack("<I", 64) + b"PE\0\0" + b"\x4c\x01" + b"\0" * 400
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600


@pytest.fixture
async def inspector() -> AsyncIterator[ProcessInspector]:
    inspector = ProcessInspector()
    yield inspector
    await inspector.close()


def mail_of(*attachments: tuple[str, bytes]) -> Mail:
    """A mail whose parts lie unencoded in its body."""
    parts, content = [], b"Subject: x\r\n\r\n"
    for number, (name, octets) in enumerate(attachments, 1):
        names = (name,) if name else ()
        parts.append(
            Part(str(number), "application/octet-stream", len(content), len(octets), "binary", "", "attachment", names)
        )
        content += octets
    return Mail("m1", peer(), STRANGER, Envelope(NULL_SENDER), (), Headers(b""), MemoryBody(content), tuple(parts))


def zipped(*members: tuple[str, bytes], comment: bytes = b"") -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members:
            archive.writestr(name, octets)
        archive.comment = comment
    return memory.getvalue()


def tarred(*members: tuple[str, bytes], mode: str = "w") -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as archive:  # type: ignore[call-overload]
        for name, octets in members:
            header = tarfile.TarInfo(name)
            header.size = len(octets)
            archive.addfile(header, io.BytesIO(octets))
    return memory.getvalue()


def seven_zipped(*members: tuple[str, bytes], password: str | None = None, hide_names: bool = False) -> bytes:
    memory = io.BytesIO()
    with py7zr.SevenZipFile(memory, "w", password=password, header_encryption=hide_names) as archive:
        for name, octets in members:
            archive.writestr(octets, name)
    return memory.getvalue()


EML_LIKE = b"Received: by x.example\r\nFrom: a@x.example\r\nMIME-Version: 1.0\r\n\r\nhello\r\n"


async def look(inspector: ProcessInspector, name: str, octets: bytes, **limits: float) -> Inspection:
    return await inspector.inspect(mail_of((name, octets)), InspectionLimits(**limits))  # type: ignore[arg-type]


def named(inspection: Inspection, name: str) -> Found:
    return next(found for found in inspection.files if name in found.names)


PACKED = {
    "a.zip": zipped(("docs/invoice.pdf.exe", PE), ("note.txt", b"hello")),
    "a.tar": tarred(("docs/invoice.pdf.exe", PE), ("note.txt", b"hello")),
    "a.tgz": tarred(("docs/invoice.pdf.exe", PE), mode="w:gz"),
    "a.tar.bz2": tarred(("docs/invoice.pdf.exe", PE), mode="w:bz2"),
    "a.tar.xz": tarred(("docs/invoice.pdf.exe", PE), mode="w:xz"),
    "a.7z": seven_zipped(("docs/invoice.pdf.exe", PE)),
    "renamed.txt": zipped(("docs/invoice.pdf.exe", PE)),
    "": tarred(("docs/invoice.pdf.exe", PE), mode="w:gz"),
    "behind-a-picture.gif": b"GIF89a" + b"\0" * 50 + zipped(("docs/invoice.pdf.exe", PE)),
}


@pytest.mark.parametrize("name", PACKED)
async def test_every_archive_is_looked_into(inspector: ProcessInspector, name: str) -> None:
    inspection = await look(inspector, name, PACKED[name])
    assert inspection.complete
    assert inspection.files[0].archive
    assert inspection.files[0].uninspectable == ""
    found = named(inspection, "docs/invoice.pdf.exe")
    assert found.chain == (name, "docs/invoice.pdf.exe")
    assert found.size == len(PE)
    assert "dosexec" in found.type or "portable-executable" in found.type


@pytest.mark.parametrize(
    ("name", "octets"),
    [("x.exe.gz", gzip.compress(PE)), ("x.exe.bz2", bz2.compress(PE)), ("x.exe.xz", lzma.compress(PE))],
)
async def test_one_compressed_file_is_unpacked(inspector: ProcessInspector, name: str, octets: bytes) -> None:
    inspection = await look(inspector, name, octets)
    assert named(inspection, "x.exe").size == len(PE)


async def test_gzips_own_name_counts(inspector: ProcessInspector) -> None:
    memory = io.BytesIO()
    with gzip.GzipFile("hidden.exe", "wb", fileobj=memory) as packed:
        packed.write(b"anything")
    assert named(await look(inspector, "letter.gz", memory.getvalue()), "hidden.exe")


async def test_archives_within_archives(inspector: ProcessInspector) -> None:
    inner = seven_zipped(("deep.exe", PE))
    nested = zipped(("b.tar.gz", tarred(("c.7z", inner), mode="w:gz")))
    found = named(await look(inspector, "a.zip", nested), "deep.exe")
    assert found.chain == ("a.zip", "b.tar.gz", "c.7z", "deep.exe")


async def test_too_deep_is_uninspectable(inspector: ProcessInspector) -> None:
    octets = zipped(("x.exe", PE))
    for _ in range(5):
        octets = zipped(("n.zip", octets))
    inspection = await look(inspector, "a.zip", octets, depth=5)
    assert any("deeper" in found.uninspectable for found in inspection.files)


async def test_many_parts_in_one_message(inspector: ProcessInspector) -> None:
    attachments = [(f"{number}.txt", b"text") for number in range(300)] + [("a.zip", PACKED["a.zip"])]
    inspection = await inspector.inspect(mail_of(*attachments), InspectionLimits())
    assert len(inspection.files) == 303


def bomb(megabytes: int) -> bytes:
    return zipped(("zeros", b"\0" * (megabytes << 20)))


@pytest.mark.parametrize(
    ("octets", "limits"),
    [
        (bomb(40), {"ratio": 100}),
        (zipped(*((f"{number}.zip", bomb(17)) for number in range(3))), {"ratio": 10_000, "unpacked": 20 << 20}),
        (gzip.compress(bytes(60 << 20)), {}),
        (bz2.compress(bytes(60 << 20)), {}),
        (zipped(*((f"{number}.txt", b"") for number in range(30))), {"members": 20}),
        (tarred(*((f"{number}.txt", b"") for number in range(30)), mode="w:gz"), {"members": 20}),
        (zipped(("big.zip", bomb(1) + os.urandom(3 << 20) + bomb(1))), {"decoder_memory": 2 << 20}),
    ],
    ids=["ratio", "unpacked", "gzip", "bzip2", "members", "tar members", "held"],
)
async def test_bombs_end_the_walk(inspector: ProcessInspector, octets: bytes, limits: dict[str, int]) -> None:
    inspection = await look(inspector, "a.bin", octets, **limits)
    assert not inspection.complete
    assert inspection.reason


async def test_a_decoder_that_wants_too_much_memory_finds_none(inspector: ProcessInspector) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    greedy = lzma.compress(os.urandom(1 << 20), filters=filters)
    inspection = await look(inspector, "a.xz", greedy)
    assert any(found.uninspectable for found in inspection.files)
    assert (await look(inspector, "a.zip", PACKED["a.zip"])).complete, "the child serves on"


@pytest.mark.parametrize(
    "octets",
    [
        seven_zipped(("secret.txt", b"x" * 100), password="pw"),
        seven_zipped(("secret.txt", b"x" * 100), password="pw", hide_names=True),
        OLE + "EncryptedPackage".encode("utf-16-le") + bytes(500),
    ],
    ids=["7z", "7z with hidden names", "office document"],
)
async def test_what_needs_a_password_is_encrypted(inspector: ProcessInspector, octets: bytes) -> None:
    inspection = await look(inspector, "a.bin", octets)
    assert any(found.encrypted for found in inspection.files)


async def test_an_encrypted_zip_still_tells_its_names(inspector: ProcessInspector) -> None:
    octets = bytearray(zipped(("inner.zip", b"PK")))
    directory = octets.find(b"PK\x01\x02")
    octets[6] |= 1
    octets[directory + 8] |= 1
    found = named(await look(inspector, "a.zip", bytes(octets)), "inner.zip")
    assert found.encrypted


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("a.docm", zipped(("[Content_Types].xml", b"<x/>"), ("word/vbaProject.bin", OLE))),
        ("a.docx", zipped(("[Content_Types].xml", b"<x/>"), ("WORD\\VBAPROJECT.BIN", b""))),
        ("a.xlsx", zipped(("[Content_Types].xml", b"<x/>"), ("xl/macrosheets/sheet1.xml", b"<x/>"))),
        ("a.odt", zipped(("mimetype", b"application/vnd.oasis.opendocument.text"), ("Basic/Standard/M.xml", b""))),
        ("a.doc", OLE + "_VBA_PROJECT".encode("utf-16-le") + bytes(500)),
        ("a.xls", OLE + bytes(131_060) + "_VBA_PROJECT_CUR".encode("utf-16-le") + bytes(500)),
        ("a.zip", zipped(("in/a.doc", OLE + os.urandom(6 << 20) + "_VBA_PROJECT".encode("utf-16-le") + bytes(50)))),
    ],
)
async def test_macros_are_seen(inspector: ProcessInspector, name: str, octets: bytes) -> None:
    assert any(found.macros for found in (await look(inspector, name, octets)).files)


@pytest.mark.parametrize(
    "octets",
    [
        zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>")),
        zipped(("mimetype", b"application/vnd.oasis.opendocument.text"), ("Basic/script-lc.xml", b"<x/>")),
        OLE,
        b"%PDF-1.4\n",
    ],
)
async def test_documents_without_macros_are_clean(inspector: ProcessInspector, octets: bytes) -> None:
    inspection = await look(inspector, "letter.doc", octets)
    assert inspection.complete
    assert not any(found.macros or found.encrypted or found.uninspectable for found in inspection.files)


def lying_zip() -> bytes:
    """The directory says letter.txt, the entry itself x.exe."""
    return zipped(("letter.txt", PE)).replace(b"letter.txt", b"run_me.exe", 1)


def stowaway_zip() -> bytes:
    """An entry in front of the others, of which the directory knows nothing."""
    return zipped(("run_me.exe", PE)).split(b"PK\x01\x02")[0] + zipped(("letter.txt", b"hi"))


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("a.zip", lying_zip()),
        ("a.zip", stowaway_zip()),
        ("a.zip", zipped(("x.exe", PE))[:-30]),
        ("a.zip", zipped(("x.exe", os.urandom(50_000)))[:20_000]),
        ("a.tgz", tarred(("x.bin", os.urandom(50_000)), mode="w:gz")[:20_000]),
        ("a.7z", PACKED["a.7z"][:-10]),
        ("a.bz2", bz2.compress(os.urandom(5000))[:2000]),
        ("a.tar", b"no tar at all" * 100),
        ("a.rar", b"no rar at all"),
        ("a.zst", b"\x28\xb5\x2f\xfd" + bytes(50)),
        ("a.arj", b"whatever"),
        ("winmail.dat", b"\x78\x9f\x3e\x22" + bytes(50)),
    ],
)
async def test_what_cannot_be_looked_into_says_so(inspector: ProcessInspector, name: str, octets: bytes) -> None:
    inspection = await look(inspector, name, octets)
    assert any(found.uninspectable for found in inspection.files), inspection


async def test_empty_things_are_fine(inspector: ProcessInspector) -> None:
    attachments = [
        ("a.zip", zipped()),
        ("b.tar", tarred()),
        ("c.txt", b""),
        ("d.gz", gzip.compress(b"")),
        ("e.7z", b""),
    ]
    inspection = await inspector.inspect(mail_of(*attachments), InspectionLimits())
    assert inspection.complete
    assert not any(found.uninspectable for found in inspection.files), inspection


async def test_links_and_absolute_names_are_only_looked_at(inspector: ProcessInspector, tmp_path: Path) -> None:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        outside = tarfile.TarInfo(f"{tmp_path}/written")
        outside.size = 5
        archive.addfile(outside, io.BytesIO(b"hello"))
    inspection = await look(inspector, "a.tar", memory.getvalue())
    assert named(inspection, "link").type == "inode/special"
    assert named(inspection, f"{tmp_path}/written").size == 5
    assert not (tmp_path / "written").exists()


async def test_a_message_without_attachments_starts_nothing(inspector: ProcessInspector) -> None:
    before = children()
    text = Part("1", "text/plain", 0, 4)
    shown = Mail("m", peer(), STRANGER, Envelope(NULL_SENDER), (), Headers(b""), MemoryBody(b"text"), (text,))
    assert await inspector.inspect(shown, InspectionLimits()) == Inspection(())
    assert children() == before


def children() -> set[int]:
    """The inspecting children of this process."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(status.parent.name), status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "(relayd-inspect)" in rest and int(rest.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(pid)
    return found


async def test_a_child_that_dies_is_replaced(inspector: ProcessInspector) -> None:
    await look(inspector, "a.zip", PACKED["a.zip"])
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    inspection = await look(inspector, "a.zip", PACKED["a.zip"])
    assert inspection.complete
    assert children()
    assert children() != {pid}


async def test_a_look_that_takes_too_long_is_ended(inspector: ProcessInspector) -> None:
    slow = zipped(*((f"{number}.txt", os.urandom(2000)) for number in range(4000)))
    inspection = await look(inspector, "a.zip", slow, seconds=0.05)
    assert not inspection.complete
    assert children() == set()
    assert (await look(inspector, "a.zip", PACKED["a.zip"])).complete


async def test_one_child_serves_many_messages(inspector: ProcessInspector) -> None:
    await look(inspector, "a.zip", PACKED["a.zip"])
    first = children()
    for octets in [*PACKED.values(), lying_zip(), PACKED["a.7z"][:-10], b"\x1f\x8b", EML_LIKE] * 4:
        await look(inspector, "a.bin", octets)
    assert children() == first


async def test_closing_leaves_no_child() -> None:
    inspector = ProcessInspector()
    await look(inspector, "a.zip", PACKED["a.zip"])
    assert children()
    await inspector.close()
    assert children() == set()


def test_the_child_loads_only_what_it_needs() -> None:
    """It is one more process on each worker, so what it imports counts twice: no settings, no loop, no server."""
    code = "import sys, relayd.inspection.child; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pydantic", "asyncio", "structlog", "relayd.settings"} & set(loaded)
