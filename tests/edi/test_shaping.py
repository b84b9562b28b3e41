"""What the rendering process makes of a mail's EDI, by each form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.edi.shaping import remake
from relayd.rendering.renderer import ProcessRenderer
from relayd.rendering.wire import Leaf, Made, MakePdf, Remade, Remake, Variant

SAMPLES = Path(__file__).parent / "samples"
MEDLAB = (SAMPLES / "medlab_full_latin1_crlf.edi").read_bytes()
MEDVRI = (SAMPLES / "medvri_full_latin1_crlf.edi").read_bytes()
INJECTION = (SAMPLES / "medvri_html_injection.edi").read_bytes()


class Printer:
    """Makes PDFs that are their HTML."""

    def __init__(self) -> None:
        self.asked: list[MakePdf] = []

    def __call__(self, request: MakePdf) -> Made:
        self.asked.append(request)
        return Made(b"%PDF " + request.html.encode())


def made(form: str, *leaves: Leaf, printer: Printer | None = None, **options: str) -> Remade:
    given = {"form": form, "language": "nl", **options}
    return remake(Remake("edi", given, leaves), printer or Printer())


def test_html_is_text_and_a_page_with_every_message() -> None:
    remade = made("html", Leaf(MEDLAB, "a.edi"), Leaf(MEDVRI, "b.edi"))
    plain, page = remade.shown
    assert (plain.type, page.type) == ("text/plain; charset=utf-8", "text/html; charset=utf-8")
    assert not remade.says_all
    assert remade.facts["recognised"] == ["MEDLAB 1", "MEDVRI 1"]
    assert remade.facts["messages"] == 2
    assert remade.name == "message.edi"


def test_nothing_of_the_message_is_markup_or_a_fact() -> None:
    remade = made("html", Leaf(INJECTION))
    assert b"<script" not in remade.shown[1].data.lower()
    assert set(remade.facts) == {"recognised", "messages", "findings"}


@pytest.mark.parametrize(("variant", "inside"), [(Variant.PDF_A, MEDLAB), (Variant.PDF_UA, b"")])
def test_each_part_is_a_pdf_with_the_original_inside_where_it_may_be(variant: Variant, inside: bytes) -> None:
    printer = Printer()
    remade = made("pdf", Leaf(MEDLAB, "uitslag.edi"), Leaf(MEDVRI), printer=printer, pdf=variant.value)
    assert [file.name for file in remade.files] == ["uitslag-1.pdf", "MEDVRI-2.pdf"]
    assert all(file.type == "application/pdf" for file in remade.files)
    assert (printer.asked[0].variant, printer.asked[0].original) == (variant, inside)
    assert remade.shown[0].type.startswith("text/plain")


@pytest.mark.parametrize(
    ("content", "name", "says_all"),
    [("untouched", "MEDLAB-1-m1-1.edi", True), ("html", "MEDLAB-1-m1-1.html", False)],
)
def test_files_are_named_by_the_folders_pattern(content: str, name: str, says_all: bool) -> None:
    names = "{type}-{version}-m1-{number}.{extension}"
    remade = made("folder", Leaf(MEDLAB), Leaf(MEDVRI), content=content, names=names)
    assert remade.files[0].name == name
    assert remade.files[1].name.startswith("MEDVRI-1-m1-2.")
    assert remade.says_all is says_all
    assert not remade.shown


@pytest.mark.parametrize(
    ("form", "sample", "name", "start", "says_all"),
    [
        ("hl7", "medlab_full_latin1_crlf.edi", "x-1.hl7", b"MSH|", False),
        ("edi-xml", "medlab_full_latin1_crlf.edi", "x-1.xml", b"<?xml", True),
        ("v2.xml", "oul_r22_crlf.hl7", "x-1.xml", b"<?xml", True),
        ("edifact", "oul_r22_lab2lab_latin1.hl7", "x-1.edi", b"UN", False),
    ],
)
def test_a_file_of_another_format_says_whether_it_says_all(
    form: str, sample: str, name: str, start: bytes, says_all: bool
) -> None:
    remade = made(form, Leaf((SAMPLES / sample).read_bytes(), "x.dat"))
    (file,) = remade.files
    assert file.name == name
    assert file.data.startswith(start)
    assert remade.says_all is says_all
    in_folder = made("folder", Leaf((SAMPLES / sample).read_bytes()), content=form, names="m1-{number}.{extension}")
    assert (in_folder.files[0].data.startswith(start), in_folder.says_all) == (True, says_all)


def test_what_has_no_way_to_the_format_stays_as_it_came_and_says_why() -> None:
    adt = b"MSH|^~\\&|A|B|C|D|20261123||ADT^A08|1|P|2.5\rPID|1||1\r"
    remade = made("edifact", Leaf(adt))
    assert not remade.files
    assert not remade.shown
    assert "reason" in remade.facts
    assert made("folder", Leaf(adt), content="edifact", names="m1-{number}").files[0].data == adt


def test_the_operators_table_of_codes_is_used(tmp_path: Path) -> None:
    table = tmp_path / "codes.csv"
    table.write_text("code,name,unit,loinc\nHB  B,hemoglobine,mmol/l,718-7\n")
    assert made("hl7", Leaf(MEDLAB), mapping=str(table)).files


def test_files_that_are_left_untouched_are_what_came() -> None:
    remade = made("folder", Leaf(MEDLAB), content="untouched", names="m1-{number}")
    assert remade.files[0].data == MEDLAB


def test_a_name_from_the_message_leads_out_of_no_folder() -> None:
    evil = MEDLAB.replace(b"500000001", b"../../etc/x")
    remade = made("folder", Leaf(evil), content="untouched", names="{sender}-m1-{number}")
    assert remade.files[0].name == "_.._etc_x-m1-1"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["html", "pdf", "folder"]))
def test_whatever_octets_come_something_is_made_of_them(data: bytes, form: str) -> None:
    remade = made(form, Leaf(data), content="untouched", names="m1-{number}")
    assert remade.shown or remade.files


@pytest.fixture
async def renderer() -> AsyncIterator[ProcessRenderer]:
    renderer = ProcessRenderer()
    yield renderer
    await renderer.close()


async def test_the_rendering_process_does_it(renderer: ProcessRenderer) -> None:
    remade = await renderer.remake("edi", {"form": "html", "language": "en"}, (Leaf(MEDLAB),))
    assert b"<html" in remade.shown[1].data
    if renderer.makes_pdf:
        remade = await renderer.remake("edi", {"form": "pdf", "language": "nl"}, (Leaf(MEDLAB),))
        assert remade.files[0].data.startswith(b"%PDF")
