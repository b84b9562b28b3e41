"""HL7 taken apart: nothing is lost, separators, line ends and escapes are what the sender meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import hl7
from tests.kit.hl7 import NAMES, message, mutations, sample


def tags(data: bytes) -> list[list[str]]:
    return [[segment.tag for segment in each.segments] for each in hl7.split(data).messages]


def assert_lossless(data: bytes) -> None:
    file = hl7.split(data)
    assert file.octets() == data
    for segment in file.segments():
        fields = list(segment.fields)
        if segment.tag in hl7.HEADERS:
            del fields[1]
        assert segment.separators.field.join(fields) == segment.text
        assert segment.text[:3] == segment.tag
        assert data[segment.start : segment.stop] == segment.octets


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_its_pieces_octet_for_octet(name: str) -> None:
    assert_lossless(sample(name))
    for changed in mutations(sample(name), 50, seed=1):
        assert_lossless(changed)


@given(st.binary(max_size=400))
def test_any_octets_are_their_pieces(data: bytes) -> None:
    assert_lossless(data)
    assert_lossless(b"MSH|^~\\&|" + data)


HL7_LIKE = st.lists(
    st.sampled_from(
        ["MSH|^~\\&|A", "PID|1", "OBX|", "BHS|^~\\&", "BTS|1", "\r", "\n", "\x0b", "\x1c\r", "|", "~", "a", "ë"]
    )
)


@given(HL7_LIKE.map("".join), st.sampled_from(["utf-8", "latin-1"]))
def test_what_looks_like_hl7_is_its_pieces(text: str, encoding: str) -> None:
    assert_lossless(text.encode(encoding))


@pytest.mark.parametrize("name", ["oul_r22_lab2lab_latin1.hl7", "oul_r22_crlf.hl7", "oul_r22_lf_only.hl7"])
def test_every_line_end_ends_a_segment(name: str) -> None:
    expected = [["MSH", "PID", "SPM", "OBR", "ORC", "NTE", "OBX", "NTE", "OBX", "OBX", "OBX", "OBX", "OBX"]]
    assert tags(sample(name)) == expected
    (read,) = hl7.split(sample(name)).messages
    assert [segment.line for segment in read.segments][:4] == [1, 2, 3, 4]
    assert [segment.number for segment in read.segments][:4] == [1, 2, 3, 4]


def test_mixed_line_ends_and_empty_lines_end_a_segment_too() -> None:
    assert tags(b"MSH|^~\\&|A\r\r\nPID|1\n\n  OBR|1\r\nOBX|1\n") == [["MSH", "PID", "OBR", "OBX"]]


def test_a_line_that_is_no_segment_goes_on_in_its_field() -> None:
    (read,) = hl7.split(b"MSH|^~\\&|A\rNTE|1|L|first\nsecond\n\nWBC\rlast\rOBX|1|ST\r").messages
    assert [segment.tag for segment in read.segments] == ["MSH", "NTE", "OBX"]
    assert read.segments[1].raw(3) == "first\nsecond\n\nWBC\rlast"


@pytest.mark.parametrize(
    ("last", "footer"),
    [
        ("OBX|1|ST|x||1||||||F", "Met vriendelijke groet,\r\nhet laboratorium\r\n"),
        ("OBX|1|ST|x||1||||||F", "\r\n-- \r\nhet laboratorium\r\n"),
        ("NTE|1|L|one\r\ntwo", "\r\nhet laboratorium\r\n"),
        ("PV1", "groet"),
    ],
)
def test_text_behind_a_message_is_outside(last: str, footer: str) -> None:
    file = hl7.split(f"MSH|^~\\&|A\r\n{last}\r\n{footer}".encode())
    assert file.messages[0].segments[-1].text == last
    assert "".join(piece.octets.decode() for piece in file.outside).strip() == footer.strip()


def test_a_text_with_empty_lines_that_its_segment_closes_is_whole() -> None:
    (read,) = hl7.split(b"MSH|^~\\&|A\nOBX|1|TX|x||one\n\ntwo||||||F\n").messages
    assert read.segments[1].raw(5) == "one\n\ntwo"
    assert read.segments[1].raw(11) == "F"


def test_separators_are_the_messages_own() -> None:
    (read,) = hl7.split(sample("custom_delims.hl7")).messages
    assert read.separators == hl7.Separators("$", "*", "@", "!", "%")
    obx = read.segments[-1]
    assert obx.value(5) == "waarde $ * @ ! %"
    assert read.segments[0].value(9, 2) == "R01"
    assert read.segments[0].raw(2) == "*@!%"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("^~\\&", hl7.Separators()),
        ("^~\\&#", hl7.Separators()),
        ("^~\\\\&", hl7.Separators()),
        ("^~", hl7.Separators(escape="", subcomponent="")),
        ("", hl7.Separators()),
    ],
)
def test_what_msh_2_can_say(written: str, expected: hl7.Separators) -> None:
    assert hl7.split(f"MSH|{written}|A\rPID|1\r".encode()).messages[0].separators == expected


def test_a_batch_has_its_envelope_and_its_messages() -> None:
    file = hl7.split(sample("batch_fhs_bhs.hl7"))
    assert [segment.tag for segment in file.envelope] == ["FHS", "BHS", "BTS", "FTS"]
    assert [each.segments[0].value(10) for each in file.messages] == ["MSG00001", "MSG00002"]
    assert not file.outside


@pytest.mark.parametrize("name", ["mllp_two_messages.bin", "mllp_split_and_garbage.bin"])
def test_frames_part_messages(name: str) -> None:
    first, second = hl7.split(sample(name)).messages
    assert (first.segments[0].value(10), second.segments[0].value(10)) == ("MSG00001", "MSG00002")
    assert first.segments[-1].raw(20) == "Y"


def test_a_message_without_its_msh_is_read_all_the_same() -> None:
    file = hl7.split(b"hello\r\nPID|1||x\rOBX|1|ST|a||b\r")
    (read,) = file.messages
    assert read.header is None
    assert [segment.tag for segment in read.segments] == ["PID", "OBX"]
    assert file.outside[0].octets == b"hello\r\n"


@pytest.mark.parametrize(
    ("octets", "claim", "charset", "text", "found"),
    [
        ("patiënt".encode("latin-1"), "8859/1", "iso-8859-1", "patiënt", ""),
        ("€ patiënt".encode("cp1252"), "8859/1", "cp1252", "€ patiënt", ""),
        ("€ patiënt".encode("iso8859-15"), "8859/15", "iso8859-15", "€ patiënt", ""),
        ("patiënt één".encode("cp850"), "", "cp850", "patiënt één", "in a DOS code page"),
        ("patiënt".encode(), "UNICODE UTF-8", "utf-8", "patiënt", ""),
        ("patiënt".encode(), "8859/1", "utf-8", "patiënt", "but says that it is in 8859/1"),
        ("patiënt".encode(), "", "utf-8", "patiënt", ""),
        ("patiënt".encode("latin-1"), "UNICODE UTF-8", "iso-8859-1", "patiënt", "is in UTF-8, but it isn't"),
        ("patiënt".encode("latin-1"), "KLINGON", "iso-8859-1", "patiënt", "isn't known: KLINGON"),
        ("patiënt".encode("latin-1"), "ASCII", "iso-8859-1", "patiënt", "is in ASCII, but it isn't"),
        ("één patiënt, é".encode() + b"\xeb", "UNICODE UTF-8", "utf-8", "één patiënt, éë", "octets that are none"),
        (b"patient", "8859/1", "iso-8859-1", "patient", ""),
    ],
)
def test_a_character_set_is_what_the_octets_are(octets: bytes, claim: str, charset: str, text: str, found: str) -> None:
    (read,) = hl7.split(message("NTE|1||@", charset=claim).replace(b"@", octets)).messages
    assert (read.charset, read.segments[1].raw(3)) == (charset, text)
    assert [str(finding) for finding in read.findings if found not in str(finding)] == []
    assert bool(read.findings) == bool(found)


@pytest.mark.parametrize(
    ("written", "charset", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "ascii", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp2\three\.sk 3\four", "ascii", "one\ntwo\n\nthree   four"),
        (r"\.in+4\in\.ti-2\out\.fi\\.nf\ \H\bold\N\.", "ascii", "inout bold."),
        (r"Regel een\X0D\\X0A\Regel twee", "ascii", "Regel een\nRegel twee"),
        (r"pati\XEB\nt", "cp1252", "patiënt"),
        (r"pati\XEB\nt", "utf-8", "patiënt"),
        (r"pati\XC3AB\nt", "utf-8", "patiënt"),
        (r"pati\XC3\\XAB\nt", "utf-8", "patiënt"),
        (r"\X00E0\ \X000d\!", "ascii", "à \n!"),
        (r"C:\temp 4\5 ", "ascii", r"C:\temp 4\5 "),
        (r"\M2442\ \Zabc\ \C2842\ \X0\ \q\ \F", "ascii", r"\M2442\ \Zabc\ \C2842\ \X0\ \q\ \F"),
        (r"\E\F\E", "ascii", r"\F\E"),
    ],
)
def test_escapes_are_read_and_what_is_none_stays(written: str, charset: str, meant: str) -> None:
    assert hl7.unescape(written, hl7.USUAL, charset) == meant


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r")), st.sampled_from(["|^~\\&", "$*@!%"]))
def test_what_is_escaped_is_read_back(text: str, separators: str) -> None:
    its = hl7.Separators(*separators)
    escaped = hl7.escape(text, its)
    assert not set(escaped) & {its.field, its.component, its.repetition, its.subcomponent, "\r", "\n"}
    assert hl7.unescape(escaped, its) == text
