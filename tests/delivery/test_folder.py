"""Folders: a mail as one file, or the files that were made of it, each complete and under a name of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from relayd.delivery.folder import FolderRoute
from relayd.mail.headers import Headers
from relayd.mail.meta import Transformation
from relayd.mail.mime import MimeScanner
from relayd.mail.remade import NewPart, remade
from relayd.queue.outcome import Job, Result
from tests.kit.jobs import Blocks, make_job

FILES = Transformation("edi", (("form", "folder"),))
LETTER = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nBeste collega\r\n--b\r\n\r\nUNB\r\n--b--\r\n"


def job_of(*files: NewPart, original: bytes = b"", block: int = 65536) -> Job:
    """A copy that was made for a folder, with ``original`` behind the files where it is kept."""
    head, _, old = original.partition(b"\r\n\r\n")
    new = remade(Headers(head + b"\r\n" if head else b""), (), files, "relayd-x", keep=bool(original))
    content = new.change.put + b"\r\n" + new.before + (old if new.keeps else b"") + new.after
    scanner = MimeScanner()
    for start in range(0, len(content), 97):
        scanner.feed(content[start : start + 97])
    job = make_job(content=Blocks(content, block))
    meta = msgspec.structs.replace(job.meta, parts=scanner.finish())
    return replace(job, meta=meta, made_by=FILES)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_mail_is_one_file(tmp_path: Path) -> None:
    job = make_job()
    (outcome,) = await FolderRoute(tmp_path).deliver(job)
    assert outcome.result is Result.DELIVERED
    assert list(written(tmp_path)) == [f"{job.message.id}-0-0.eml"]


@pytest.mark.parametrize("block", [7, 65536])
async def test_files_are_written_as_they_are_under_their_names(tmp_path: Path, block: int) -> None:
    data = bytes(range(256)) * 30
    job = job_of(NewPart("application/EDIFACT", data, "m1-1.edi"), NewPart("a/b", b"", "m1-2.edi"), block=block)
    await FolderRoute(tmp_path).deliver(job)
    assert written(tmp_path) == {"m1-1.edi": data, "m1-2.edi": b""}


async def test_one_file_alone_is_the_whole_mail(tmp_path: Path) -> None:
    await FolderRoute(tmp_path).deliver(job_of(NewPart("application/EDIFACT", b"UNB", "m1-1.edi")))
    assert written(tmp_path) == {"m1-1.edi": b"UNB"}


async def test_what_came_with_the_files_is_in_the_mail_beside_them(tmp_path: Path) -> None:
    await FolderRoute(tmp_path).deliver(job_of(NewPart("a/b", b"UNB", "m1-1.edi"), original=LETTER))
    files = written(tmp_path)
    assert set(files) == {"m1-1.edi", "m1-0-0.eml"}
    assert b"Beste collega" in files["m1-0-0.eml"]


@pytest.mark.parametrize("name", ["x.edi", ".hidden", "m1\x00.edi", "m1-1.edi"])
async def test_no_name_leads_elsewhere_or_over_another_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    await FolderRoute(folder).deliver(job_of(NewPart("a/b", b"1", "m1-1.edi"), NewPart("a/b", b"2", name)))
    files = written(folder)
    assert sorted(files.values()) == [b"1", b"2"]
    assert all("m1" in one and not one.startswith(".") for one in files)


async def test_a_second_try_writes_the_same_files(tmp_path: Path) -> None:
    job = job_of(NewPart("a/b", b"UNB", "m1-1.edi"), original=LETTER)
    for _ in range(2):
        await FolderRoute(tmp_path).deliver(job)
    assert len(written(tmp_path)) == 2


async def test_a_folder_that_is_gone_defers(tmp_path: Path) -> None:
    (outcome,) = await FolderRoute(tmp_path / "gone").deliver(job_of(NewPart("a/b", b"UNB", "m1-1.edi")))
    assert outcome.result is Result.DEFERRED
