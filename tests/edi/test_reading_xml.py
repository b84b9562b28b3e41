"""XML is read as the message that it is, or as a tree; hostile XML as text. Nothing of it is lost, nothing raises."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import xmltree
from relayd.edi.convert import NoConversion, convert
from relayd.edi.losses import texts
from relayd.edi.model import Format, Reading, Severity, Unread
from relayd.edi.readers.xml import check, read
from relayd.edi.reading import read as read_any

SAMPLES = Path(__file__).parent / "samples"
MEDLAB = (SAMPLES / "medlab_full_latin1_crlf.edi").read_bytes()
OUL = (SAMPLES / "oul_r22_lab2lab_latin1.hl7").read_bytes()
XMLS = [convert(MEDLAB, Format.EDI_XML).data, convert(OUL, Format.V2_XML).data]


def values(reading: Reading) -> list[str]:
    return list(texts(reading))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.edi")), ids=lambda path: path.stem)
def test_edi_xml_is_read_as_its_message(path: Path) -> None:
    before, after = read_any(path.read_bytes()), read(convert(path.read_bytes(), Format.EDI_XML).data)
    assert after.format is Format.EDI_XML
    assert [(one.type, one.patient, one.parties, one.blocks) for one in after.documents] == [
        (one.type, one.patient, one.parties, one.blocks) for one in before.documents
    ]
    assert after.outside == before.outside
    assert all(one.format is Format.EDI_XML for one in after.documents)


def test_v2_xml_is_read_as_its_message() -> None:
    (before,), (after,) = read_any(OUL).documents, read(XMLS[1]).documents
    assert after.format is Format.V2_XML
    assert (after.type, after.patient, after.parties) == (before.type, before.patient, before.parties)
    assert [type(block) for block in after.blocks] == [type(block) for block in before.blocks]


def test_v2_xml_needs_no_namespace() -> None:
    bare = XMLS[1].replace(b' xmlns="urn:hl7-org:v2xml"', b"")
    assert read(bare).documents[0].type == "OUL^R22"


def test_a_file_with_a_footer_is_still_edi_xml() -> None:
    document = convert((SAMPLES / "medvri_mail_footer_after_unz.edi").read_bytes(), Format.EDI_XML).data
    assert document.count(b"<EDIFACTFile") == 1
    assert read_any(document).format is Format.EDI_XML
    assert read_any(convert((SAMPLES / "medvri_no_unb_bare_message.edi").read_bytes(), Format.EDI_XML).data).documents


def test_check_tells_what_the_message_inside_has() -> None:
    wrong = convert((SAMPLES / "medvri_bad_unt_count_and_refs.edi").read_bytes(), Format.EDI_XML).data
    assert any("UNT" in finding.text for finding in check(wrong))
    assert any("no place" in finding.text for finding in check(b"<EDIFACTMessage><TXT><x/></TXT></EDIFACTMessage>"))


def test_any_other_xml_is_a_tree_with_every_value() -> None:
    data = b"""<?xml version="1.0"?><note to="Jan" xmlns="urn:x">loose<from who="Piet">P. <b>de</b> Wit</from>
      <!-- remark --><body/></note>"""
    reading = read(data)
    (document,) = reading.documents
    assert (reading.format, document.type, reading.findings) == (Format.XML, "note", ())
    blocks = [block for block in document.blocks if isinstance(block, Unread)]
    found = {(block.tag, element.position): element.value for block in blocks for element in block.elements}
    assert found == {
        ("note", "@to"): "Jan",
        ("note", "@xmlns"): "urn:x",
        ("note", ""): "loose",
        ("from", "@who"): "Piet",
        ("from", ""): "P.  Wit",
        ("from", "b"): "de",
        ("#comment", ""): " remark ",
    }


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><EDIFACTMessage><TXT><TXT.01>&a;</TXT.01></TXT></x>',
        b"<a><b>open",
        b"<a>" * 100_000,
        b"<EDIFACTMessage>",
        b"<MSH><MSH.1>|</MSH.1></MSH>",
        b"<x xmlns='urn:hl7-org:v2xml'/>",
        b"",
        b"\0",
    ],
)
def test_bad_xml_is_read_without_an_exception_and_stays_visible(data: bytes) -> None:
    reading = read(data)
    for word in (b"passwd", b"open"):
        assert word not in data or any(word.decode() in value for value in values(reading))
    assert all(finding.severity in Severity for finding in check(data))


@given(st.binary())
def test_any_octets_are_read(data: bytes) -> None:
    for octets in (data, b"<EDIFACTMessage><TXT>" + data, b"<x xmlns='urn:hl7-org:v2xml'><PID>" + data, b"<x>" + data):
        read(octets)
        check(octets)


@pytest.mark.parametrize("document", XMLS, ids=["edi-xml", "v2.xml"])
def test_mutations_are_read_and_converted_or_refused(document: bytes) -> None:
    chance = random.Random(6)
    bits = (
        b"<",
        b">",
        b"&",
        b"/",
        b'"',
        b"<TXT>",
        b"</",
        b"<!--",
        b"<!DOCTYPE x [",
        b"&#0;",
        b"\0",
        b"\xff",
        b".99",
        b"<a>",
    )
    for _ in range(100):
        changed = bytearray(document)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(changed))
            to = min(len(changed), at + chance.choice((0, 1, 3, 30)))
            changed[at:to] = chance.choice((b"", chance.choice(bits), bytes(changed[at:to]) * 2))
        read(bytes(changed))
        for form in (Format.EDIFACT, Format.HL7):
            try:
                convert(bytes(changed), form)
            except NoConversion:
                pass


def test_a_large_document_is_read_as_far_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmltree, "MAX_NODES", 1000)
    reading = read(b"<a>" + b"<b>1</b>" * 1500 + b"<c>last</c></a>")
    assert reading.findings[0].severity is Severity.ERROR
    assert any("last" in value for value in values(reading))


def test_many_copies_and_many_tables_make_no_giant_of_a_message() -> None:
    data = b"UNH+1+MEDLAB:1'" + b"KOP+NAAR+x'" * 200 + b"DET+26:01:01'BEP+0+K+1'" * 200
    assert len(convert(data, Format.HL7).data) < 20 * len(data)


def test_positions_far_apart_make_no_giant_of_a_message() -> None:
    octets = convert(b"<EDIFACTMessage><TXT><TXT.9000000>x</TXT.9000000></TXT></EDIFACTMessage>", Format.EDIFACT).data
    assert octets == b"TXT'"
    data = b"UNH+1+MEDVRI:1'TXT" + b"+:" * 3000 + b"'"
    assert convert(convert(data, Format.EDI_XML).data, Format.EDIFACT).data == data
