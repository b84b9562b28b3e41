"""Whole messages through the policy and the real inspector."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
from collections.abc import AsyncIterator
from email.message import EmailMessage

import pytest

from policies.attachments import AttachmentsOptions, AttachmentsPolicy
from relayd.inspection.inspector import ProcessInspector
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Pass, Refuse
from tests.kit.judging import context, listed, mail

PE = b"MZ" + b"\0" * 58 + struct.pack("<I", 64) + b"PE\0\0" + b"\x4c\x01" + b"\0" * 400
ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\x00\x3e\x00\x01\0\0\0" + b"\0" * 100
LNK = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + b"\0" * 60
CHM = b"ITSF\x03\0\0\0`\0\0\0\x01\0\0\0" + b"\0" * 100
MSI = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    + b"\0" * 72
    + b"\x84\x10\x0c"
    + b"\0" * 5
    + b"\xc0"
    + b"\0" * 6
    + b"F"
    + bytes(500)
)


@pytest.fixture
async def inspector() -> AsyncIterator[ProcessInspector]:
    inspector = ProcessInspector()
    yield inspector
    await inspector.close()


def message(*attachments: tuple[str, bytes] | EmailMessage) -> EmailMessage:
    built = EmailMessage()
    built["From"] = "a@x.example"
    built["Subject"] = "Hello"
    built.set_content("Hi\n")
    for attachment in attachments:
        if isinstance(attachment, EmailMessage):
            built.add_attachment(attachment)
        else:
            name, octets = attachment
            built.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return built


def zipped(*members: tuple[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members:
            archive.writestr(name, octets)
    return memory.getvalue()


def wire(built: EmailMessage) -> bytes:
    return built.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def refused(inspector: ProcessInspector, content: bytes) -> str:
    policy = AttachmentsPolicy(AttachmentsOptions())
    verdicts = listed(await policy.judge(mail(content), Stage.MESSAGE, context(inspector=inspector)))
    assert all(isinstance(verdict, Pass | Refuse) for verdict in verdicts)
    return next((verdict.reply.text for verdict in verdicts if isinstance(verdict, Refuse)), "")


EML = message(("x.txt", PE)).as_bytes()

ENCODED_MESSAGE = (
    b"From: a@x.example\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(message(("x.exe", b"anything")).as_bytes())
)
NO_BOUNDARY = b"From: a@x.example\r\nContent-Type: multipart/mixed\r\n\r\n--x\r\n\r\nhello\r\n--x--\r\n"
NAMELESS = b"From: a@x.example\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"


@pytest.mark.parametrize(
    "content",
    [
        wire(message(("a.zip", zipped(("invoice.pdf.exe", b"anything"))))),
        wire(message(("a.zip", zipped(("letter.txt", PE))))),
        wire(message(("letter.txt", PE))),
        wire(message(("letter.txt", ELF))),
        wire(message(("letter.pdf", LNK))),
        wire(message(("letter.pdf", CHM))),
        wire(message(("letter.doc", MSI))),
        wire(message(("letter.txt", b"#!/bin/sh\nrm -rf /\n"))),
        wire(message(("letter.txt", b"@echo off\r\nformat c:\r\n"))),
        wire(message(message(message(("x.txt", PE))))),
        wire(message(("mail.eml", EML))),
        wire(message(("a.zip", zipped(("mail.eml", EML))))),
        ENCODED_MESSAGE,
        NO_BOUNDARY,
        NAMELESS + base64.encodebytes(PE),
    ],
)
async def test_refused(inspector: ProcessInspector, content: bytes) -> None:
    assert await refused(inspector, content)


@pytest.mark.parametrize(
    "content",
    [
        wire(message()),
        wire(message(("letter.pdf", b"%PDF-1.4\n%...\n"))),
        wire(message(("notes.zip", zipped(("notes/a.txt", b"hello"), ("notes/b.csv", b"a;b\n1;2\n"))))),
        wire(message(("data.xml", b'<?xml version="1.0"?><a/>'))),
        wire(message(("lab.edi", b"UNB+UNOA:1+A+B+261123:1200+1'UNZ+0+1'"))),
        wire(message(message(("letter.pdf", b"%PDF-1.4\n")))),
        wire(message(("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)))),
        wire(message(("letter.docx", zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>"))))),
        NAMELESS + base64.encodebytes(b"%PDF-1.4\n"),
    ],
)
async def test_passes(inspector: ProcessInspector, content: bytes) -> None:
    assert await refused(inspector, content) == ""
