"""EDIFACT as XML: going back gives the same octets, and XML changed by hand gives the message that it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import charset, edifact, edifact_xml, xmltree
from relayd.edi.model import Finding

HERE = Path(__file__).parent / "samples"
OUTSIDE = Path(os.environ.get("RELAYD_EDI_SAMPLES", "/nonexistent"))
SAMPLES = sorted([*HERE.glob("*.edi"), *OUTSIDE.glob("*/*.edi"), *OUTSIDE.glob("*/*.lab")])

#: What EDIFACT and its mistakes are made of.
PIECES = st.lists(
    st.sampled_from([
        b"UNA:+.? '", b"UNA|^,# ~", b"UNA:+.?'", b"UNB+UNOA:1+1+2", b"UNB|UNOA^1", b"UNH+1+MEDVRI:1", b"UNT+1+1",
        b"UNZ+1+1", b"TXT:1", b"BEP:1:1:1+0+K", b"UNH", b"+", b":", b"?", b"'", b" ", b"\r\n", b"\0", b"\x1d",
        b"\xc3\xa9", b"\xe9", b"\x81", b"\xef\xbb\xbf", b"a", b"1A+", b"<&>\"", b"]]>",
    ])
).map(b"".join)  # fmt: skip


def to_xml(data: bytes) -> bytes:
    name, _ = charset.find(data)
    return edifact_xml.to_xml(edifact.parse(data, name), name)


def from_xml(document: bytes) -> tuple[bytes, tuple[Finding, ...]]:
    tree = xmltree.parse(document)
    assert tree.findings == ()
    assert tree.root is not None
    return edifact_xml.from_xml(tree.root)


def changed(data: bytes, old: str, new: str) -> bytes:
    document = to_xml(data).decode()
    assert old in document
    return from_xml(document.replace(old, new).encode())[0]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_comes_back_octet_for_octet(path: Path) -> None:
    assert from_xml(to_xml(path.read_bytes())) == (path.read_bytes(), ())


@given(st.binary())
def test_any_octets_come_back(data: bytes) -> None:
    assert from_xml(to_xml(data)) == (data, ())
    assert from_xml(to_xml(b"UNH+1+MEDVRI:1'TXT+" + data)) == (b"UNH+1+MEDVRI:1'TXT+" + data, ())


@given(PIECES)
def test_any_pieces_come_back(data: bytes) -> None:
    assert from_xml(to_xml(data)) == (data, ())


def test_elements_are_named_by_their_places() -> None:
    document = to_xml(b"UNH+1+MEDLAB:1'BEP:1:1:2+0+Kreat++<b>:x'")
    assert (
        b"""<BEP><BEP.00><BEP.00.1>1</BEP.00.1><BEP.00.2>1</BEP.00.2><BEP.00.3>2</BEP.00.3></BEP.00>\
<BEP.01><BEP.01.1>0</BEP.01.1></BEP.01><BEP.02><BEP.02.1>Kreat</BEP.02.1></BEP.02><BEP.03/>\
<BEP.04><BEP.04.1>&lt;b&gt;</BEP.04.1><BEP.04.2>x</BEP.04.2></BEP.04></BEP>"""
        in document
    )
    assert b"<EDIFACTMessage " in document


def test_the_separators_are_attributes_that_other_programs_know() -> None:
    document = to_xml(b"UNA:+.? '\r\nUNB+UNOA:1+1+2+260901:1015+1'\r\nUNZ+0+1'\r\n")
    root = xmltree.parse(document).root
    assert root is not None
    assert root.name == "EDIFACTInterchange"
    names = ["segmentDelimiter", "elementDelimiter", "subelementDelimiter", "releaseCharacter", "decimalMark", "una"]
    assert [root.attributes[name] for name in names] == ["'", "+", ":", "?", ".", "true"]
    assert root.attributes["repetitionSeparator"] == ""


def test_a_value_changed_by_hand_is_written_with_its_escapes() -> None:
    data = b"UNH+1+MEDVRI:1'\r\nTXT:1+was'\r\nUNT+3+1'\r\n"
    assert changed(data, ">was<", ">is 1+1: it&apos;s?<") == data.replace(b"was", b"is 1?+1?: it?'s??")


def test_what_was_written_oddly_stays_so_until_it_is_changed() -> None:
    data = b"UNH+1+MEDVRI:1'TXT:1+?Z?o'TXT:2+?Z?o'"
    assert from_xml(to_xml(data))[0] == data
    assert changed(data, "<TXT.00.1>2</TXT.00.1></TXT.00><TXT.01><TXT.01.1>Zo", "<TXT.00.1>2</TXT.00.1></TXT.00>"
                   "<TXT.01><TXT.01.1>Nu") == b"UNH+1+MEDVRI:1'TXT:1+?Z?o'TXT:2+Nu'"  # fmt: skip


def test_a_terminator_in_the_wrong_place_stays_there() -> None:
    data = b"UNH+1+MEDLAB:1'BEP':1:1:1+1+K'"
    assert from_xml(to_xml(data)) == (data, ())


def test_a_character_that_the_set_lacks_is_written_in_words_and_said() -> None:
    document = to_xml("UNH+1+MEDVRI:1'TXT:1+één'".encode("latin-1")).decode().replace("één", "één €")
    octets, findings = from_xml(document.encode())
    assert octets == "UNH+1+MEDVRI:1'TXT:1+één EUR'".encode("latin-1")
    assert [finding.values for finding in findings] == [{"character": "€"}]


def test_positions_may_be_left_out_and_components_too() -> None:
    document = b"""<EDIFACTInterchange segmentDelimiter="'" una="false">
      <UNH><UNH.01>1</UNH.01><UNH.02><UNH.02.1>MEDVRI</UNH.02.1><UNH.02.2>1</UNH.02.2></UNH.02></UNH>
      <PID><PID.05><PID.05.1>BSN999990019</PID.05.1></PID.05></PID>
    </EDIFACTInterchange>"""
    assert from_xml(document) == (b"UNH+1+MEDVRI:1'PID+++++BSN999990019'", ())


def test_what_has_no_place_is_found() -> None:
    document = b"""<EDIFACTMessage><TXT><TXT.01>a</TXT.01><TXT.01>b</TXT.01><x/><TXT.99999>c</TXT.99999>
      <TXT.02><TXT.02.1><b/></TXT.02.1></TXT.02></TXT></EDIFACTMessage>"""
    octets, findings = from_xml(document)
    assert octets == b"TXT+a+'"
    assert [finding.values["name"] for finding in findings] == ["TXT.01", "x", "TXT.99999", "TXT.02.1"]


NAMES = (
    *("charset", "una", "unaWritten", "segmentDelimiter", "elementDelimiter", "elementDelimiterOctets", "lineEnd"),
    *("releaseCharacter", "before", "after", "afterOctets"),
)
WORDS = ("", "'", "+", "++", "zz", "ff", "\u20ac", "utf-16", "utf-7", "hex", "undefined", "true", "\0")


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS)))
def test_any_attributes_give_octets(attributes: dict[str, str]) -> None:
    root = f"<EDIFACTFile><EDIFACTMessage{xmltree.write_attributes(attributes)}><TXT tag='x' before=''>a<TXT.01>\u20ac"
    document = root + "</TXT.01></TXT><Segment tag='' written='q'/></EDIFACTMessage></EDIFACTFile>"
    assert b"TXT" in from_xml(document.encode())[0]
