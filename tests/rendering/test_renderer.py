"""HTML to PDF and PDF to pictures: what comes out, and what somebody's content can't do."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import zlib

import pypdfium2
import pytest

from relayd.rendering.renderer import NotRendered, ProcessRenderer
from tests.kit.chromium import canary
from tests.kit.ports import free_port

PAGE = "<html lang=nl><head><title>Uitslag</title></head><body><h1>Uitslag</h1><p>De uitslag is goed.</p></body></html>"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("weasyprint") is None, reason="weasyprint isn't installed")


@pytest.fixture(scope="module")
async def renderer():
    renderer = ProcessRenderer()
    yield renderer
    await renderer.close()


async def text_of(renderer, pdf):
    return "\n".join(page.text for page in (await renderer.show_pdf(pdf, 5, 400)).pages)


async def test_a_page_becomes_an_archivable_pdf_with_the_original_inside():
    renderer = ProcessRenderer()
    try:
        pdf = await renderer.make_pdf(PAGE, b"From: a@x.example\r\n\r\noriginal", "bericht.eml")
        assert "De uitslag is goed." in await text_of(renderer, pdf)
    finally:
        await renderer.close()
    document = pypdfium2.PdfDocument(pdf)
    assert pypdfium2.raw.FPDFDoc_GetAttachmentCount(document) == 1
    assert pypdfium2.raw.FPDFCatalog_IsTagged(document)
    metadata = [
        zlib.decompressobj().decompress(one)
        for one in re.findall(rb"stream\n(x[\x01\x5e\x9c\xda].*?)\nendstream", pdf, re.S)
    ]
    everything = pdf + b"".join(metadata)
    assert re.search(rb"/AFRelationship\s*/Source", everything)
    assert re.search(rb"pdfaid:part[=>\"]+3", everything)


async def test_nothing_is_fetched_and_no_file_is_read():
    port = free_port()
    hostile = PAGE.replace(
        "<body>",
        f"<body><img src=http://127.0.0.1:{port}/a><link rel=stylesheet href=http://127.0.0.1:{port}/b>"
        f"<style>@import url(http://127.0.0.1:{port}/c); body{{background:url(http://127.0.0.1:{port}/d)}}</style>"
        "<link rel=attachment href=file:///etc/passwd><img src=file:///etc/hostname><iframe src=file:///etc/passwd></iframe>",
    )
    renderer = ProcessRenderer()
    try:
        async with canary(port) as hits:
            pdf = await renderer.make_pdf(hostile)
            assert hits == []
        assert b"root:" not in pdf
        assert "De uitslag is goed." in await text_of(renderer, pdf)
    finally:
        await renderer.close()


async def test_what_is_no_pdf_is_refused_and_the_next_one_is_shown():
    renderer = ProcessRenderer()
    try:
        for nonsense in (b"", b"%PDF-1.4 not much of one", b"\x00" * 100_000):
            with pytest.raises(NotRendered):
                await renderer.show_pdf(nonsense, 3, 300)
        pdf = await renderer.make_pdf(PAGE)
        shown = await renderer.show_pdf(pdf, 3, 300)
        assert shown.total == 1
        assert shown.pages[0].png.startswith(b"\x89PNG")
    finally:
        await renderer.close()


async def test_a_page_that_never_ends_costs_its_own_rendering_alone(monkeypatch):
    monkeypatch.setattr("relayd.rendering.renderer._PATIENCE", 2.0)
    renderer = ProcessRenderer()
    endless = "<table>" + "<tr>" + "<td>" * 60 + "</tr>" + "</table>"
    try:
        with pytest.raises(NotRendered):
            await renderer.make_pdf("<body>" + "<table><tr><td>" * 400 + endless * 300)
        monkeypatch.undo()
        assert (await renderer.make_pdf(PAGE)).startswith(b"%PDF-")
    finally:
        await renderer.close()


def growing(number):
    """Elements that are opened and never ended come again in each paragraph."""
    return "<div>" + "".join(f"<font size={n}>" for n in range(number)) + "</div>" + "<div>x</div>" * number


async def test_html_that_grows_without_end_costs_its_own_page_alone(monkeypatch):
    monkeypatch.setattr("relayd.rendering.renderer._CLEANING", 2.0)
    renderer = ProcessRenderer()
    try:
        for hostile in (growing(800), growing(30_000), "<div>" * 200_000):
            with pytest.raises(NotRendered):
                await renderer.clean(hostile, {}, 0)
        large = await renderer.clean("<p>De uitslag<script>x</script> is goed.</p>" * 1000, {}, 0)
        assert large.visible
        assert "script" not in large.html
    finally:
        await renderer.close()


async def test_a_picture_stands_there_as_often_as_there_is_room():
    renderer = ProcessRenderer()
    address = "data:image/png;base64," + "A" * 1000
    try:
        for html in ("<img src='cid:a'>" * 10, "<img src='cid:a'>" * 1000):
            clean = await renderer.clean(html, {"a": address}, 5 * len(address) + 1)
            assert clean.html.count(address) == 5
            assert clean.left_out == len(html) / 17 - 5
            assert (clean.blocked, clean.room) == (0, 1)
    finally:
        await renderer.close()


async def test_many_at_once_take_turns():
    renderer = ProcessRenderer()
    try:
        made = await asyncio.gather(*(renderer.make_pdf(PAGE) for _ in range(4)))
        assert all(one.startswith(b"%PDF-") for one in made)
    finally:
        await renderer.close()
