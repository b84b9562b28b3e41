"""HL7 version 2 as XML: every field comes back where it was, whoever wrote the XML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import hl7, v2xml, xmltree
from relayd.edi.model import Finding
from tests.kit.hl7 import NAMES, mutations, sample

NAMESPACE = "xmlns='urn:hl7-org:v2xml'"


def to_xml(data: bytes) -> bytes:
    return v2xml.to_xml(hl7.split(data))[0]


def from_xml(document: bytes) -> tuple[bytes, tuple[Finding, ...]]:
    tree = xmltree.parse(document)
    assert tree.findings == ()
    assert tree.root is not None
    return v2xml.from_xml(tree.root)


def message(*segments: str) -> bytes:
    return "\r".join(["MSH|^~\\&|A|B|C|D|20260901||ORU^R01^ORU_R01|1|P|2.5", *segments, ""]).encode()


def meaning(data: bytes) -> list[list[list[list[list[str]]]]]:
    """Every unescaped sub-component of every field."""
    return [
        [
            [[[segment.unescape(part) for part in segment.subcomponents(component)]
              for component in segment.components(repetition)]
             for repetition in segment.repetitions(number)]
            for number in range(len(segment.fields) if segment.tag != "MSH" else 13)
        ]
        for segment in hl7.split(data).segments()
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".hl7")])
def test_a_sample_means_the_same_when_it_comes_back(name: str) -> None:
    data = sample(name)
    again, findings = from_xml(to_xml(data))
    assert meaning(again) == meaning(data)
    assert not [finding for finding in findings if "no place" in finding.text]


@pytest.mark.parametrize(
    "name", ["oul_r22_lab2lab_latin1.hl7", "oml_o21_lab2lab_latin1.hl7", "batch_fhs_bhs.hl7", "custom_delims.hl7"]
)
def test_an_orderly_message_comes_back_octet_for_octet(name: str) -> None:
    assert from_xml(to_xml(sample(name))) == (sample(name), ())


@pytest.mark.parametrize("name", ["oul_r22_lab2lab_latin1.hl7", "custom_delims.hl7", "batch_fhs_bhs.hl7"])
def test_mutations_give_xml_that_can_be_read(name: str) -> None:
    for data in mutations(sample(name), 100, seed=6):
        from_xml(to_xml(data))


@given(st.text(st.characters(blacklist_characters="\r\n\x0b\x1c", blacklist_categories=["Cs"])))
def test_any_field_comes_back(text: str) -> None:
    data = message("ZZZ|a|" + text + "|b", "OBX|1|ED|A^B||" + text, "PID|||" + text)
    again, _ = from_xml(to_xml(data))
    first, second = hl7.split(data), hl7.split(again)
    controls = any(ord(character) < 32 or character in "\ufffe\uffff" for character in text)
    if len(first.messages) == 1 and not controls:
        assert meaning(again) == meaning(data)
    assert len(second.messages) == len(first.messages)


@given(st.binary())
def test_any_octets_can_be_written(data: bytes) -> None:
    from_xml(to_xml(data))
    from_xml(to_xml(b"MSH|^~\\&|" + data))


def test_components_are_named_by_their_types() -> None:
    document = to_xml(message("PID|1||999990019^^^NLMINBIZA&1.2&ISO^NNNLD~5||Dijk&van^M", "OBX|1|SN|A^B^LN||<^3"))
    assert b'<ORU_R01 xmlns="urn:hl7-org:v2xml">' in document
    assert (
        b"<PID.3><CX.1>999990019</CX.1><CX.4><HD.1>NLMINBIZA</HD.1><HD.2>1.2</HD.2><HD.3>ISO</HD.3></CX.4>"
        b"<CX.5>NNNLD</CX.5></PID.3><PID.3><CX.1>5</CX.1></PID.3>"
    ) in document
    assert b"<PID.5><XPN.1><FN.1>Dijk</FN.1><FN.2>van</FN.2></XPN.1><XPN.2>M</XPN.2></PID.5>" in document
    assert b"<OBX.5><SN.1>&lt;</SN.1><SN.2>3</SN.2></OBX.5>" in document


def test_segments_stand_in_their_groups() -> None:
    root = xmltree.parse(to_xml(message("PID|1", "NTE|1", "OBR|1", "NTE|1", "OBX|1", "NTE|1", "OBX|2", "OBR|2"))).root
    assert root is not None

    def shape(node: xmltree.Node) -> object:
        return [shape(inner) if "." in inner.name else inner.name for inner in node.nodes if inner.name[3:4] != "."]

    assert shape(root) == [
        *("MSH", [["PID", "NTE"], ["OBR", "NTE", ["OBX", "NTE"], ["OBX"]], ["OBR"]]),
    ]


def test_a_segment_without_a_place_stays_in_its_row() -> None:
    data = message("PID|1", "Z01|a", "OBR|1", "Z02|b", "OBX|1", "PV1|late")
    assert from_xml(to_xml(data))[0] == data


def test_escapes_become_characters_or_elements() -> None:
    document = to_xml(message("NTE|1|L|a \\F\\ b \\T\\ c\\.br\\d \\H\\e\\N\\ \\X0D\\ 4\\5 re."))
    assert (
        b'<NTE.3>a | b &amp; c<escape V=".br"/>d <escape V="H"/>e<escape V="N"/> <escape V="X0D"/> 4\\5 re.</NTE.3>'
    ) in document


def test_xml_that_names_components_by_their_places_is_read() -> None:
    document = f"""<HL7Message {NAMESPACE}><MSH><MSH.1>|</MSH.1><MSH.2>^~\\&amp;</MSH.2><MSH.9><MSH.9.1>ADT</MSH.9.1>
      <MSH.9.2>A08</MSH.9.2></MSH.9></MSH><PID><PID.3><PID.3.1>1</PID.3.1><PID.3.4><PID.3.4.2>x</PID.3.4.2></PID.3.4>
      </PID.3></PID></HL7Message>"""
    assert from_xml(document.encode()) == (b"MSH|^~\\&|||||||ADT^A08\rPID|||1^^^&x\r", ())


def test_the_character_set_is_what_the_message_says_or_utf_8() -> None:
    latin = message("NTE|1|L|é").decode().replace("|P|2.5", "|P|2.5||||||8859/1").encode("latin-1")
    assert from_xml(to_xml(latin)) == (latin, ())
    again, findings = from_xml(to_xml(message("NTE|1|L|é")))
    assert hl7.split(again).messages[0].segments[0].value(18) == "UNICODE UTF-8"
    assert "é".encode() in again
    assert len(findings) == 1


def test_what_has_no_place_is_found() -> None:
    document = f"""<A {NAMESPACE}><PID>loose<PID.3><CX.1>1</CX.1><CX.1>2</CX.1></PID.3><x/><PID.99999/>
      <PID.4><a.1><b.1><c.1><d.1/></c.1></b.1></a.1></PID.4></PID></A>"""
    octets, findings = from_xml(document.encode())
    assert octets.startswith(b"PID|||1")
    assert len(findings) >= 4


def test_text_outside_of_messages_is_said_to_be_left() -> None:
    _, findings = v2xml.to_xml(hl7.split(b"Dear sir,\r\n\r\n" + message("PID|1")))
    assert [finding.text for finding in findings] == ["Text outside the messages is not converted"]


def test_a_big_document_in_a_field_takes_no_time_to_speak_of() -> None:
    data = message("OBX|1|ED|PDF^Verslag||^application^pdf^Base64^" + "QUJD" * 500_000)
    assert from_xml(to_xml(data)) == (data, ())
