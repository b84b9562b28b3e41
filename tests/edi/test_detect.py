"""EDI is found by what it is, whatever its sender calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi.detect import leaves, sniff
from relayd.edi.model import Format

SAMPLES = Path(__file__).parent / "samples"
MEDVRI = b"UNB+UNOA:1+500000001+500000002+260901:1015+1'\r\nUNH+1+MEDVRI:1'\r\nTXT:1+dag'\r\nUNT+3+1'\r\nUNZ+1+1'"
ORU = b"MSH|^~\\&|A|B|C|D|20260901||ORU^R01|1|P|2.5\rPID|1\r"


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (MEDVRI, Format.EDIFACT),
        (b"\xef\xbb\xbf\r\n " + MEDVRI, Format.EDIFACT),
        (b"UNA:+.? '" + MEDVRI, Format.EDIFACT),
        (b"UNA:+.?'" + MEDVRI, Format.EDIFACT),
        (b"UNA|^,# ~UNB^UNOA|1^5^6~UNH^1^MEDVRI|1~", Format.EDIFACT),
        (b"UNH+1+MEDVRI:1'TXT:1+dag'UNT+3+1'", Format.EDIFACT),
        (b"Beste collega,\r\n\r\nHierbij de uitslag.\r\n" + MEDVRI, Format.EDIFACT),
        (ORU, Format.HL7),
        (b"\x0b" + ORU + b"\x1c\r", Format.HL7),
        (b"\x00\x06\r\n\x0b" + ORU, Format.HL7),
        (b"x\x0b" + ORU, Format.HL7),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ORU, Format.HL7),
        (b"MSH$*@!%$A$B$C$D$20260901$$ORU*R01$1$P$2.5\r", Format.HL7),
        (b"<?xml version='1.0'?><EDIFACTInterchange una=':+.? '/>", Format.EDI_XML),
        (b"\n<!-- a > b --><EDIFACTInterchange></EDIFACTInterchange>", Format.EDI_XML),
        (b"<!DOCTYPE x [<!ENTITY a 'b>'>]><EDIFACTInterchange/>", Format.EDI_XML),
        (b"<ORU_R01 xmlns='urn:hl7-org:v2xml'><MSH/></ORU_R01>", Format.V2_XML),
        ("<?xml version='1.0' encoding='utf-16'?><ORU_R01 xmlns='urn:hl7-org:v2xml'/>".encode("utf-16"), Format.V2_XML),
        (MEDVRI.decode().encode("utf-16"), Format.EDIFACT),
        (b"\xfe\xff" + ORU.decode().encode("utf-16-be"), Format.HL7),
        ("Beste collega,\r\n\r\n".encode("utf-16") + MEDVRI.decode().encode("utf-16-le"), Format.EDIFACT),
        (b"<ClinicalDocument xmlns='urn:hl7-org:v3'>x</ClinicalDocument>\n", Format.XML),
    ],
)
def test_what_is_edi(data, format):
    assert sniff(data) is format


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Goedendag,\r\n\r\nUNB is een segment, MSH ook.\r\n",
        b"UNBELIEVABLE",
        b"UNHAPPY+x",
        b"MSH staat voor message header",
        b"<!DOCTYPE html><html><body>UNB+</body></html>",
        b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
        b"<jan@clinic.example> schreef:\r\n> tekst",
        b"<b>Let op</b>: geen bericht",
        b"%PDF-1.4\n",
        b"PK\x03\x04",
    ],
)
def test_what_is_none(data):
    assert sniff(data) is None


@given(st.binary(max_size=200) | st.text(alphabet="UNABH+:'MSH|^~\\&<>?xml \r\n", max_size=60).map(str.encode))
def test_any_octets_have_an_answer(data):
    assert sniff(data) is None or isinstance(sniff(data), Format)
    leaves(data)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mail_application_edifact_single_part.eml", [("", "application/edifact", Format.EDIFACT)]),
        ("mail_inline_text_plain_quoted_printable.eml", [("", "text/plain", Format.EDIFACT)]),
        (
            "mail_multipart_octet_stream_edi_and_hl7.eml",
            [("2", "application/octet-stream", Format.EDIFACT), ("3", "application/octet-stream", Format.HL7)],
        ),
    ],
)
def test_every_part_of_a_mail_is_looked_at(name, found):
    mail = (SAMPLES / name).read_bytes()
    assert [(leaf.path, leaf.media_type, leaf.format) for leaf in leaves(mail)] == found


def test_an_attached_mail_is_looked_into_and_a_page_isnt():
    inner = b"Content-Type: application/octet-stream; name=uitslag.dat\r\n\r\n" + MEDVRI
    mail = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n' + MEDVRI
        + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    )  # fmt: skip
    (leaf,) = leaves(mail)
    assert (leaf.name, leaf.data) == ("uitslag.dat", MEDVRI)
