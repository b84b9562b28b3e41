"""Readings as PDF: made once for a message, by the process that may touch nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pypdfium2
import pytest

from relayd.edi import reading
from relayd.edi.rendering import Pdfs, Templates, Variant
from relayd.rendering.renderer import ProcessRenderer
from tests.edi.documents import LAB
from tests.edi.documents import reading as file_of

ORIGINAL = (Path(__file__).parent / "samples" / "medlab_full_latin1_crlf.edi").read_bytes()


class Counting:
    """A renderer that says what it was asked."""

    makes_pdf = True

    def __init__(self, size: int = 10) -> None:
        self.asked: list[tuple[bytes, str, Variant]] = []
        self._size = size

    async def make_pdf(self, html, original=b"", name="", variant=Variant.PDF_A):
        self.asked.append((original, name, variant))
        return bytes(self._size)

    async def show_pdf(self, pdf, pages, width):
        raise NotImplementedError


async def test_the_same_message_with_the_same_templates_is_made_once(tmp_path):
    renderer = Counting()
    pdfs, read = Pdfs(renderer), file_of(LAB)
    for _ in range(2):
        await pdfs.make(read, b"one", "nl")
    assert len(renderer.asked) == 1
    await pdfs.make(read, b"two", "nl")
    await pdfs.make(read, b"one", "en")
    await pdfs.make(read, b"one", "nl", variant=Variant.PDF_UA)
    (tmp_path / "style.css").write_text("h1 { color: purple }")
    await pdfs.make(read, b"one", "nl", templates=Templates(tmp_path))
    assert len(renderer.asked) == 5


async def test_what_is_kept_is_bounded():
    renderer = Counting(size=20 * 2**20)
    pdfs, read = Pdfs(renderer), file_of(LAB)
    await pdfs.make(read, b"one", "nl")
    await pdfs.make(read, b"two", "nl")
    await pdfs.make(read, b"two", "nl")
    assert len(renderer.asked) == 2
    await pdfs.make(read, b"one", "nl")
    assert len(renderer.asked) == 3


async def test_the_archives_variant_has_the_original_inside_and_the_accessible_one_nothing():
    renderer = Counting()
    pdfs = Pdfs(renderer)
    await pdfs.make(file_of(LAB), b"one", "nl", "uitslag.edi")
    await pdfs.make(file_of(LAB), b"one", "nl", "uitslag.edi", variant=Variant.PDF_UA)
    assert renderer.asked == [(b"one", "uitslag.edi", Variant.PDF_A), (b"", "uitslag.edi", Variant.PDF_UA)]


@pytest.mark.skipif(importlib.util.find_spec("weasyprint") is None, reason="weasyprint isn't installed")
@pytest.mark.parametrize("variant", Variant)
async def test_a_pdf_says_what_the_message_says_and_names_the_patient_on_each_page(variant):
    renderer = ProcessRenderer()
    try:
        pdf = await Pdfs(renderer).make(reading.read(ORIGINAL), ORIGINAL, "nl", "uitslag.edi", variant=variant)
        shown = await renderer.show_pdf(pdf, 5, 400)
    finally:
        await renderer.close()
    text = " ".join(page.text for page in shown.pages)
    for said in ("Kreatinine", "142", "µmol/l", "hoog", "50 – 90", "999990019", "18 maart 1975"):
        assert said in text
    assert all("M. van der Dijk - de Peters" in page.text for page in shown.pages)
    document = pypdfium2.PdfDocument(pdf)
    assert pypdfium2.raw.FPDFCatalog_IsTagged(document)
    assert pypdfium2.raw.FPDFDoc_GetAttachmentCount(document) == (1 if variant is Variant.PDF_A else 0)
