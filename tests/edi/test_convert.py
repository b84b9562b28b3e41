"""From one form to another: what has a place arrives there, and what hasn't is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import charset, edifact, hl7
from relayd.edi.convert import Converted, NoConversion, convert
from relayd.edi.mapping import Mapping, Row
from relayd.edi.model import Document, Format, Result, Results, Severity, Status
from relayd.edi.reading import read
from relayd.edi.writers.edifact import wrap
from relayd.edi.writers.envelope import Envelope
from tests.kit.hl7 import message

SAMPLES = Path(__file__).parent / "samples"
MEDLAB = SAMPLES / "medlab_full_latin1_crlf.edi"
OUL = SAMPLES / "oul_r22_lab2lab_latin1.hl7"
PID = "PID|1||999990019^^^NLMINBIZA^NNNLD||Jansen&&Jansen^A^^^^^L||19750318|F"


def only(data: bytes) -> Document:
    (document,) = read(data).documents
    return document


def results(data: bytes) -> list[Result]:
    tables = [block for block in only(data).blocks if isinstance(block, Results)]
    return [row for table in tables for row in table.rows if isinstance(row, Result)]


def lines(converted: Converted) -> list[str]:
    return converted.data.decode("iso-8859-1").replace("\r\n", "\n").replace("\r", "\n").splitlines()


def worst(converted: Converted) -> set[str]:
    return {str(loss) for loss in converted.losses if loss.severity is not Severity.NOTE}


def medlab(*segments: str) -> bytes:
    body = ["UNH+1+MEDLAB:1", "ZKH+Lab", "PID+1975:03:18+V+Jansen", "DET:1+26:08:31+08:20", "IDE:1+J+1", *segments]
    envelope = ["UNB+UNOA:1+500000001+500000002+260901:1015+1", *body, f"UNT+{len(body) + 1}+1", "UNZ+1+1", ""]
    return "'\r\n".join(envelope).encode("iso-8859-1")


def oru(*segments: str) -> bytes:
    return message(PID, "OBR|1||1|^Chemie|||20260831", *segments)


# MEDLAB to ORU^R01


def test_a_medlab_loses_nothing_as_oru() -> None:
    converted = convert(MEDLAB.read_bytes(), Format.HL7)
    assert converted.losses == ()
    document = only(converted.data)
    assert (document.type, document.reference, document.dated) == ("ORU^R01", "1", "2026-09-01T10:15")
    assert document.patient is not None
    assert only(MEDLAB.read_bytes()).patient is not None
    assert document.patient.name == only(MEDLAB.read_bytes()).patient.name  # type: ignore[union-attr]


def test_flags_corrections_and_what_is_to_come_have_their_codes() -> None:
    obx = {
        line.split("|")[3]: line.split("|")
        for line in lines(convert(MEDLAB.read_bytes(), Format.HL7))
        if "OBX|" in line
    }
    assert obx["K   B^Kalium^99NHG"][5:9] == ["5.6", "mmol/l", "3.5-5.0", "H"]
    assert obx["KREMO FB^eGFR CKD-EPI^99NHG"][7:9] == [">60", "L"]
    assert obx["NA  B^Natrium^99NHG"][11] == "C"
    assert obx["^Vitamine D 25-OH"][11] == "I"
    assert obx["^NIERFUNCTIE"][2:] == ["TX", "^NIERFUNCTIE", *[""] * 7, "F"]
    assert obx["ALBKU^Albumine/kreat.ratio^99NHG"][2:6] == ["ST", "ALBKU^Albumine/kreat.ratio^99NHG", "", "<3.0"]


def test_there_and_back_the_results_are_the_same() -> None:
    there = convert(MEDLAB.read_bytes(), Format.HL7)
    back = convert(there.data, Format.EDIFACT)
    assert worst(back) == set()
    kept = [line for line in lines(Converted(MEDLAB.read_bytes(), Format.EDIFACT)) if line[:3] in ("BEP", "NUB", "OPB")]
    assert [line for line in lines(back) if line[:3] in ("BEP", "NUB", "OPB")] == kept


def test_texts_of_one_name_are_no_loss() -> None:
    data = medlab("BEP:1:1:1+0+Kweek+E. coli", "BEP:1:1:2+0+Kweek+S. aureus")
    assert worst(convert(data, Format.HL7)) == set()


# ORU^R01 and OUL^R22 to MEDLAB


def test_an_oul_becomes_a_medlab_that_says_what_it_lacks() -> None:
    converted = convert(OUL.read_bytes(), Format.EDIFACT)
    assert only(converted.data).type == "MEDLAB"
    assert worst(converted) >= {
        "Not carried over: Code of a result",
        "Not carried over: Document inside the message",
        "Not carried over: Specimen number",
    }
    assert not [loss for loss in converted.losses if loss.severity is Severity.ERROR]


def test_what_is_too_long_stands_below() -> None:
    name, unit, value = "Een bepaling met een heel lange naam", "keer per minuut", "niet te beoordelen"
    converted = convert(oru(f"OBX|1|ST|^{name}||{value}|{unit}|1000000000-2000000000|||||"), Format.EDIFACT)
    text = "\n".join(lines(converted))
    assert "BEP:1:1:1+0+Een bepaling met een heel lang+Zie onder'" in text
    for line in (f"Bepaling?: {name}", value, f"Eenheid?: {unit}", "Referentiewaarden?: 1000000000 - 2000000000"):
        assert f"+{line}'" in text
    assert not [loss for loss in converted.losses if loss.severity is Severity.ERROR]


def test_values_of_nine_positions_stay_where_they_are() -> None:
    assert "BEP:1:1:1+0+K+123456.89++mmol/l.l'" in lines(
        convert(oru("OBX|1|ST|^K||123456.89|mmol/l.l"), Format.EDIFACT)
    )


@pytest.mark.parametrize(
    ("flag", "sign", "word"), [("L", "<", ""), ("HH", ">", "sterk verhoogd"), ("A", "", "afwijkend")]
)
def test_flags_that_medlab_lacks_are_words(flag: str, sign: str, word: str) -> None:
    converted = convert(oru(f"OBX|1|NM|^K||5|u||{flag}|||F"), Format.EDIFACT)
    assert f"BEP:1:1:1+0+K+5++u+{sign}".rstrip("+") + "'" in lines(converted)
    assert (not word) or f"OPB:1:1:1:1+Indicatie?: {word}'" in lines(converted)


def test_every_number_and_unit_arrives_as_it_was_written() -> None:
    for value, unit in (("1.10", "10*9/l"), ("0,50", "10E12/l"), ("<0.3", "µmol/l"), ("1e3", "%"), ("+", "")):
        data = medlab(f"BEP:1:1:1+0+K+{value.replace('+', '?+')}++{unit}")
        (there,) = results(convert(data, Format.HL7).data)
        assert (there.values, there.unit) == ((value,), unit)
        (back,) = results(convert(convert(data, Format.HL7).data, Format.EDIFACT).data)
        assert (back.values, back.unit) == ((value,), unit)


# Octets of these can't be UTF-8 by accident, which would be believed.
LATIN = st.one_of(st.characters(min_codepoint=32, max_codepoint=126), st.sampled_from("éëïü"))
VALUES = st.text(LATIN, max_size=40).map(lambda text: " ".join(text.split()))


@given(VALUES.filter(bool), VALUES, VALUES, VALUES, VALUES)
def test_any_result_goes_to_medlab_with_everything_or_a_finding(
    name: str, value: str, unit: str, limits: str, note: str
) -> None:
    fields = [hl7.escape(text) for text in (name, value, unit, limits, note)]
    data = oru(f"OBX|1|ST|X^{fields[0]}^L||{fields[1]}|{fields[2]}|{fields[3]}||||F", f"NTE|1|L|{fields[4]}")
    converted = convert(data, Format.EDIFACT)
    errors = {str(loss) for loss in converted.losses if loss.severity is Severity.ERROR}
    assert errors == set()
    for segment in edifact.parse(converted.data).interchanges[0].segments:
        if segment.tag == "BEP":
            assert all(len(segment.get(at)) <= most for at, most in ((2, 30), (3, 9), (5, 9), (7, 9), (8, 9), (9, 10)))
        if segment.tag in ("OPB", "OPM", "COM"):
            assert len(segment.get(1)) <= 70


@given(
    st.lists(
        st.tuples(
            VALUES.filter(bool), VALUES.filter(bool), st.sampled_from(["", "<", ">"]), st.sampled_from(["", "1"])
        ),
        max_size=4,
    )
)
def test_any_medlab_comes_back_with_its_results(rows: list[tuple[str, str, str, str]]) -> None:
    syntax = edifact.Syntax()
    segments = [
        syntax.join(
            [["BEP", "1", "1", str(at)], ["0"], [name[:30].strip()], [value[:9].strip()], [changed], ["u"], [flag]]
        )
        for at, (name, value, flag, changed) in enumerate(rows, 1)
    ]
    data = medlab(*(segment.decode("iso-8859-1") for segment in segments))
    there = convert(data, Format.HL7)
    assert worst(there) == set()
    assert worst(convert(there.data, Format.EDIFACT)) == set()
    before, after = results(data), results(convert(there.data, Format.EDIFACT).data)
    assert [(row.name, row.values, row.unit, row.flag) for row in after] == [
        (row.name, row.values, row.unit, row.flag) for row in before
    ]


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_out_for_any_octets(data: bytes) -> None:
    for octets in (
        data,
        b"UNH+1+MEDLAB:1'BEP+0+K+" + data,
        message(PID, "OBX|1|ST|") + data,
        b"<EDIFACTMessage><A>" + data,
    ):
        for to in Format:
            try:
                convert(octets, to)
            except NoConversion:
                pass


# Letters


def test_text_becomes_a_letter_by_the_recipe() -> None:
    text = "Beste collega,\n\nDe uitslag: 50% + 'iets' van de klachten is over, en de rest? Die komt wel goed.\n\n€ 5"
    converted = convert(
        text.encode(), Format.EDIFACT, envelope=Envelope("500000001", "500000002", "2026-09-01T10:15", "A1")
    )
    assert lines(converted) == [
        "UNB+UNOA:1+500000001+500000002+260901:1015+A1'",
        "UNH+1+MEDVRI:1'",
        "GGA+500000001++500000001'",
        "DET+26:09:01+10:15'",
        "TXT:1+Beste collega,'",
        "TXT:2'",
        "TXT:3+De uitslag?: 50% ?+ ?'iets?' van de klachten is over, en de rest?? Die komt'",
        "TXT:4+wel goed.'",
        "TXT:5'",
        "TXT:6+EUR 5'",
        "UNT+10+1'",
        "UNZ+1+A1'",
    ]
    assert [str(loss) for loss in converted.losses] == ["Characters that ISO 8859-1 lacks are written otherwise: €"]


def test_a_hospitals_letter_becomes_a_medvri_with_its_patient() -> None:
    converted = convert(
        message(PID, "TXA|1|CN|TX", "OBX|1|TX|^Brief||Geachte collega,", type="MDM^T02"), Format.EDIFACT
    )
    assert only(converted.data).type == "MEDVRI"
    assert "PID+1975:03:18+V+Jansen:::::A++BSN999990019'" in lines(converted)
    assert "TXT:2+Geachte collega,'" in lines(converted)
    assert worst(converted) == set()


@given(st.text(st.characters(max_codepoint=255, blacklist_categories=["Cc"])))
def test_wrapped_lines_fit_and_hold_all_that_was_there(text: str) -> None:
    wrapped = wrap(text)
    assert all(len(line) <= 70 for line in wrapped)
    plain = charset.encode(text)[0].decode("iso-8859-1")
    assert "".join(wrapped).replace(" ", "") == plain.replace(" ", "")


def test_lines_that_fit_keep_their_columns() -> None:
    assert wrap("a    b\n\n" + "x" * 75 + "\n" + "y" * 69 + " z") == ["a    b", "", "x" * 70, "xxxxx", "y" * 69, "z"]


# Codes


MAPPING = Mapping([Row("K   B", "Kalium", "mmol/l", "2823-3"), Row("KREAB", "Kreatinine", "µmol/l", "14682-9")])


def test_a_loinc_code_joins_the_senders_own_where_the_unit_is_the_tables() -> None:
    data = medlab("BEP:1:1:1+0+Kalium+4.1++mmol/l++++K   B", "BEP:1:1:2+0+Kreat+90++mg/l++++KREAB")
    obx = [line for line in lines(convert(data, Format.HL7, mapping=MAPPING)) if line.startswith("OBX|")]
    assert [line.split("|")[3] for line in obx] == ["2823-3^Kalium^LN^K   B^Kalium^99NHG", "KREAB^Kreat^99NHG"]
    back = convert(convert(data, Format.HL7, mapping=MAPPING).data, Format.EDIFACT)
    assert "BEP:1:1:1+0+Kalium+4.1++mmol/l++++K   B'" in lines(back)


def test_a_loinc_code_alone_becomes_nhgs() -> None:
    data = oru("OBX|1|NM|2823-3^Kalium^LN||4.1|mmol/l|||||F", "OBX|2|NM|14682-9^Kreat^LN||90|mg/l|||||F")
    bep = [line for line in lines(convert(data, Format.EDIFACT, mapping=MAPPING)) if line.startswith("BEP")]
    assert bep == ["BEP:1:1:1+0+Kalium+4.1++mmol/l++++K   B'", "BEP:1:1:2+0+Kreat+90++mg/l'"]


# The XML forms


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.edi")), ids=lambda path: path.stem)
def test_edifact_to_its_xml_and_back_is_the_same_file(path: Path) -> None:
    there = convert(path.read_bytes(), Format.EDI_XML)
    assert convert(there.data, Format.EDIFACT) == Converted(path.read_bytes(), Format.EDIFACT)


def test_hl7_to_its_xml_and_back_is_the_same_file() -> None:
    there = convert(OUL.read_bytes(), Format.V2_XML)
    assert there.losses == ()
    assert convert(there.data, Format.HL7) == Converted(OUL.read_bytes(), Format.HL7)


def test_from_one_familys_xml_to_the_others() -> None:
    there = convert(convert(MEDLAB.read_bytes(), Format.EDI_XML).data, Format.V2_XML)
    assert b"<ORU_R01 xmlns=" in there.data
    assert [row.values for row in results(there.data)] == [
        row.values for row in results(convert(MEDLAB.read_bytes(), Format.HL7).data)
    ]


def test_a_converted_file_is_read_as_what_it_was() -> None:
    for path, to in ((MEDLAB, Format.EDI_XML), (OUL, Format.V2_XML)):
        before, after = read(path.read_bytes()), read(convert(path.read_bytes(), to).data)
        assert after.format is to
        assert [document.blocks for document in after.documents] == [document.blocks for document in before.documents]


@pytest.mark.parametrize(
    ("data", "to"),
    [
        (b"<note>x</note>", Format.EDIFACT),
        (b"UNH+1+MEDLAB:1'", Format.XML),
        ((SAMPLES / "oml_o21_lab2lab_latin1.hl7").read_bytes(), Format.EDIFACT),
        (b"  \n", Format.HL7),
        (b"Beste collega", Format.HL7),
    ],
)
def test_what_has_no_conversion_is_refused(data: bytes, to: Format) -> None:
    with pytest.raises(NoConversion):
        convert(data, to)


def test_results_still_to_come_stay_so() -> None:
    data = oru("OBX|1|ST|^Vitamine D||||||||I", "NTE|1|L|volgt", "OBX|2|NM|^K||4||||||P")
    converted = convert(data, Format.EDIFACT)
    assert [(row.name, row.status) for row in results(converted.data)] == [
        ("K", Status.NONE),
        ("Vitamine D", Status.PENDING),
    ]
    assert "OPB:1:1:1:1+Status?: voorlopige uitslag'" in lines(converted)
    assert "OPU:1:1:1+volgt'" in lines(converted)
