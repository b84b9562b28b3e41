"""`relayd edi` shows what a message says, and everything that is wrong with it."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pytest

from relayd.cli.main import main

SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
LAB = str(SAMPLES / "medlab_full_latin1_crlf.edi")
WRONG = str(SAMPLES / "medvri_bad_unt_count_and_refs.edi")
MAIL = str(SAMPLES / "mail_multipart_octet_stream_edi_and_hl7.eml")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["edi", *words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_show_is_text_in_english_or_another_language(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = run(capsys, "show", LAB)
    assert status == 0
    assert "LABORATORY RESULTS" in printed
    status, printed, _ = run(capsys, "show", LAB, "--language", "nl")
    assert "Patiënt: M. van der Dijk - de Peters (Miriam)" in printed
    assert "142 µmol/l" in printed


def test_show_writes_a_page_or_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, page, _ = run(capsys, "show", LAB, "--html")
    assert page.startswith("<!DOCTYPE html>")
    assert run(capsys, "show", LAB, "--html", "--output", str(tmp_path / "page.html"))[:2] == (0, "")
    assert (tmp_path / "page.html").read_text() == page
    _, data, _ = run(capsys, "show", LAB, "--json")
    (read,) = json.loads(data)
    assert read["documents"][0]["patient"]["name"]["own"] == "Peters"


@pytest.mark.skipif(importlib.util.find_spec("weasyprint") is None, reason="weasyprint isn't installed")
def test_show_makes_a_pdf(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "show", LAB, "--pdf", "--output", str(tmp_path / "page.pdf"))[0] == 0
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")


def test_a_mail_is_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = run(capsys, "show", MAIL)
    assert status == 0
    assert printed.count("LABORATORY RESULTS") == 2
    status, _, said = run(capsys, "show", MAIL, "--html")
    assert (status, said) == (1, "relayd: the mail has 2 EDI messages: name one with --part\n")
    assert "Lithium" in run(capsys, "show", MAIL, "--html", "--part", "2")[1]
    assert run(capsys, "show", MAIL, "--part", "3")[0] == 1


def test_an_own_template_is_tried_out_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "message.html").write_text("{% broken %}")
    status, page, said = run(capsys, "show", LAB, "--html", "--templates", str(tmp_path))
    assert status == 0
    assert "Kreatinine" in page
    assert said == "relayd: The organisation's template can't be used: TemplateSyntaxError, message.html, line 1\n"


def test_check_names_place_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = run(capsys, "check", WRONG)
    assert status == 0
    assert "line 19, UNT, 1: warning: UNT counts 3 segments where there are 18" in printed
    _, printed, _ = run(capsys, "check", WRONG, "--language", "nl")
    assert "regel 19, UNT, 1: waarschuwing: UNT telt 3 segmenten, er zijn er 18" in printed
    _, data, _ = run(capsys, "check", WRONG, "--json")
    assert {"line": 19, "tag": "UNT", "severity": "warning"}.items() <= json.loads(data)[0].items()


def test_check_fails_on_errors_and_says_when_there_is_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.edi"
    cut.write_bytes(b"UNB+UNOA:1+5+6+260901:1015+1'UNZ+0+1'")
    assert run(capsys, "check", str(cut))[0] == 1


def test_standard_input_and_what_is_no_edi(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open(WRONG, "rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        status, printed, _ = run(capsys, "check", "-")
    assert status == 0
    assert printed.startswith("-: line 19")
    (tmp_path / "x.txt").write_text("Goedendag")
    for name, said in ((str(tmp_path / "x.txt"), "there is no EDI"), (str(tmp_path / "none"), "can't be read")):
        status, _, error = run(capsys, "show", name)
        assert status == 1
        assert said in error
