"""`relayd edi convert` writes a message in another form and says what was lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relayd.cli.main import main
from relayd.edi.model import Format
from relayd.edi.reading import read

SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
MEDLAB = SAMPLES / "medlab_full_latin1_crlf.edi"
OUL = SAMPLES / "oul_r22_lab2lab_latin1.hl7"


def test_a_whole_conversion_is_silent(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["edi", "convert", str(MEDLAB), "--to", "hl7"]) == 0
    printed = capsysbinary.readouterr()
    assert read(printed.out).format is Format.HL7
    assert printed.err == b""


def test_what_was_lost_is_on_standard_error_and_in_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.edi"
    assert main(["edi", "convert", str(OUL), "--to", "edifact", "--language", "nl", "--output", str(target)]) == 3
    assert "regel 7, OBX: waarschuwing: Niet overgenomen: Code van een uitslag" in capsys.readouterr().err
    assert read(target.read_bytes()).documents[0].type == "MEDLAB"


def test_the_report_is_json_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.edi"
    assert main(["edi", "convert", str(OUL), "--to", "edifact", "--json", "--output", str(target)]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["format"] == "edifact"
    assert {"Not carried over: Code of a result"} < {loss["text"] for loss in report["losses"]}
    assert main(["edi", "convert", str(OUL), "--to", "edifact", "--json"]) == 1


def test_a_wrong_call_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edi", "convert", str(MEDLAB), "--to", "hl7", "--output", str(tmp_path / "none" / "x")]) == 1
    assert capsys.readouterr().err.endswith("none/x can't be written: No such file or directory\n")
    with pytest.raises(SystemExit, match="2"):
        main(["edi", "convert", str(MEDLAB), "--to", "fhir"])
    assert "choose from 'edifact', 'hl7', 'edi-xml', 'v2.xml'" in capsys.readouterr().err


def test_a_table_of_codes_is_the_operators(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    table = tmp_path / "codes.csv"
    table.write_text("code,name,unit,loinc\nK   B,Kalium,mmol/l,2823-3\n")
    assert main(["edi", "convert", str(MEDLAB), "--to", "hl7", "--mapping", str(table)]) == 0
    assert b"2823-3^Kalium^LN^K   B^Kalium^99NHG" in capsysbinary.readouterr().out
    table.write_text("K   B,Kalium,mmol/l,2823\n")
    assert main(["edi", "convert", str(MEDLAB), "--to", "hl7", "--mapping", str(table)]) == 1
    assert f"{table}:1: loinc must be like 2823-3".encode() in capsysbinary.readouterr().err


def test_text_becomes_a_letter(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Beste collega,\n")
    target = tmp_path / "letter.edi"
    numbers = ["--sender", "500000001", "--receiver", "500000002", "--reference", "A1"]
    assert main(["edi", "convert", str(letter), "--to", "edifact", *numbers, "--output", str(target)]) == 0
    assert target.read_bytes().startswith(b"UNB+UNOA:1+500000001+500000002+")
    assert b"TXT:1+Beste collega,'" in target.read_bytes()


@pytest.mark.parametrize("form", ["xml", "pdf"])
def test_another_form_is_a_wrong_call(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["edi", "convert", str(MEDLAB), "--to", form])
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_a_mail_is_converted_by_the_edi_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mail = tmp_path / "mail.eml"
    head = b"From: lab@example.nl\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    mail.write_bytes(head + MEDLAB.read_bytes())
    target = tmp_path / "out.xml"
    assert main(["edi", "convert", str(mail), "--to", "edi-xml", "--output", str(target)]) == 0
    assert read(target.read_bytes()).format is Format.EDI_XML
    mail.write_bytes(b"From: a@example.nl\r\nSubject: x\r\n\r\nBeste collega\r\n")
    assert main(["edi", "convert", str(mail), "--to", "edifact"]) == 1
