"""The tokens of EDIFACT: what senders write is taken apart without losing an octet."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import charset, edifact
from relayd.edi.edifact import Repair, Syntax, parse

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.edi"))
TEXT = st.text(st.characters(max_codepoint=255))


def sample(name: str) -> bytes:
    return (Path(__file__).parent / "samples" / f"{name}.edi").read_bytes()


def parsed(data: bytes) -> edifact.Transmission:
    return parse(data, charset.find(data)[0])


def segments(data: bytes) -> list[edifact.Segment]:
    return [segment for interchange in parsed(data).interchanges for segment in interchange.segments]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_tokens_of_a_sample_are_its_octets(path: Path) -> None:
    data = path.read_bytes()
    found = parsed(data)
    assert bytes(found) == data
    for segment in (segment for interchange in found.interchanges for segment in interchange.segments):
        assert data[segment.start : segment.end] == segment.raw + segment.terminator
        assert data[: segment.start].count(b"\n" if b"\n" in data else b"\r") + 1 == segment.line


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_segment_written_from_its_elements_is_the_same(path: Path) -> None:
    for segment in segments(path.read_bytes()):
        parts = [[segment.tag, *segment.counters], *segment.elements]
        assert segment.syntax.split(segment.syntax.join(parts)) == parts


@given(st.binary())
def test_any_octets_come_back(data: bytes) -> None:
    assert bytes(parsed(data)) == data


@given(st.lists(st.sampled_from(
    [b"UNA", b"UNB+UNOA:1", b"UNH+1+MEDVRI:1", b"UNT+1+1", b"UNZ+1+1", b"TXT:1", b"+", b":", b"?", b"'", b" ", b"\r\n",
     b"\0", b"\xc3\xa9", b"\xe9", b"UNA:+.? '", b"UNA:+.?'", b"UNA|^,# ~", b"A"]
)).map(b"".join))  # fmt: skip
def test_any_pieces_come_back(data: bytes) -> None:
    found = parsed(data)
    assert bytes(found) == data
    for segment in (segment for interchange in found.interchanges for segment in interchange.segments):
        assert data[segment.start : segment.end] == segment.raw + segment.terminator
        assert segment.elements is not None


@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=5))
def test_any_values_can_be_written_and_read(elements: list[list[str]]) -> None:
    syntax = Syntax()
    assert syntax.split(syntax.join([["TXT"], *elements])) == [["TXT"], *elements]


def test_counters_belong_to_the_tag() -> None:
    found = next(
        segment for segment in segments(sample("medlab_full_latin1_crlf")) if segment.counters == ["1", "1", "2"]
    )
    assert (found.tag, found.get(2), found.get(5), found.get(12), found.get(2, 3)) == (
        *("BEP", "Kreatinine", "µmol/l"),
        *("", ""),
    )
    assert found.line == found.number == 17


@pytest.mark.parametrize(
    ("una", "expected"),
    [
        (b"", Syntax()),
        (b"UNA:+.? '", Syntax()),
        (b"UNA:+.? '\r\n", Syntax()),
        (b"UNA:+.?'", Syntax()),
        (b"UNA:+.?'\r\n", Syntax()),
        (b"UNA:+,  '", Syntax(decimal=b",", release=b"")),
        (b"UNA:+.?*'", Syntax()),
        (b"UNA++.? '", Syntax()),
        (b"UNA:+.A '", Syntax()),
    ],
)
def test_service_string_advice(una: bytes, expected: Syntax) -> None:
    data = una + b"UNB+UNOA:1+1+2+260901:1015+1'UNH+1+MEDVRI:1'UNT+2+1'UNZ+1+1'"
    found = parse(data)
    assert bytes(found) == data
    assert found.interchanges[0].syntax == expected
    assert [segment.tag for segment in found.interchanges[0].segments] == ["UNB", "UNH", "UNT", "UNZ"]


@pytest.mark.parametrize(
    ("data", "terminator"),
    [
        (b"UNB|UNOA^1|1|2|260901^1015|1~UNH|1|MEDVRI^1~TXT|it's?|~UNT|3|1~UNZ|1|1~", b"~"),
        (b"UNB+UNOA:1+1+2+260901:1015+1\r\nUNH+1+MEDVRI:1\r\nTXT+it's\r\nUNT+3+1\r\nUNZ+1+1\r\n", b"\r"),
    ],
)
def test_separators_without_advice_are_those_that_unb_shows(data: bytes, terminator: bytes) -> None:
    found = parse(data)
    assert [segment.tag for segment in found.interchanges[0].segments] == ["UNB", "UNH", "TXT", "UNT", "UNZ"]
    assert found.interchanges[0].syntax.terminator == terminator
    assert found.interchanges[0].segments[2].get(1).startswith("it's")


def test_separators_of_its_own() -> None:
    assert segments(sample("una_custom_separators"))[4].get(1) == "a + b : c ' d ? e"


def test_release_makes_any_character_plain() -> None:
    data = b"UNH+1+MEDVRI:1'TXT:1+a?+b?:c?'d??e?Z?.?\r\n'TXT:2+x'UNT+4+1'"
    assert segments(data)[1].get(1) == "a+b:c'd?eZ.\r\n"
    assert segments(b"UNH+1+MEDVRI:1'TXT:1+ends?")[1].get(1) == "ends?"


def test_whitespace_between_segments_is_none_of_theirs() -> None:
    found = segments(b"UNH+1+MEDVRI:1'\r\n\r\n\t TXT:1+a\r\nb'\0\x1a\n UNT+3+1'\r\n")
    assert [segment.before for segment in found] == [b"", b"\r\n\r\n\t ", b"\0\x1a\n "]
    assert found[1].get(1) == "a\r\nb"


def test_several_interchanges_and_messages() -> None:
    assert [[len(message.segments) for message in found.messages()] for found in parsed(
        sample("two_interchanges_concatenated")
    ).interchanges] == [[18], [35]]  # fmt: skip
    assert [len(message.segments) for message in parsed(sample("multi_message_3")).interchanges[0].messages()] == [
        *(18, 35, 15)
    ]


def test_text_around_interchanges_is_outside() -> None:
    inner = sample("medvri_full_one_line")
    data = b"Dear colleague,\r\n\r\n" + inner + b"\r\n-- \r\nIt's confidential.\r\n" + inner + b"\r\nEnd"
    found = parse(data)
    assert [outside.octets.strip() for outside in found.outside] == [
        *(b"Dear colleague,", b"-- \r\nIt's confidential.", b"End")
    ]
    assert [outside.line for outside in found.outside] == [1, 3, 6]
    assert bytes(found) == data


def test_a_bare_message_with_a_footer() -> None:
    found = parse(sample("medvri_no_unb_bare_message") + b"-- \r\nIt's confidential.\r\n")
    assert [len(message.segments) for message in found.interchanges[0].messages()] == [18]
    assert found.outside[0].octets.strip() == b"-- \r\nIt's confidential."


def test_a_missing_terminator_costs_no_segment() -> None:
    found = segments(
        b"UNB+UNOA:1+1+2+260901:1015+1\r\nUNH+1+MEDVRI:1'\r\nTXT:1+a\r\nTXT:2+b'\r\nUNT+4+1\r\nUNZ+1+1\r\n--\r\nit's"
    )
    assert [segment.tag for segment in found] == ["UNB", "UNH", "TXT", "TXT", "UNT", "UNZ"]
    assert [segment.repair is Repair.NO_TERMINATOR for segment in found] == [True, False, True, False, True, True]


def test_an_apostrophe_that_was_not_released_is_text() -> None:
    found = segments(b"UNH+1+MEDVRI:1'TXT:1+foto's van d'Ancona' zo'n'TXT:2+5' lang'UNT+4+1'")
    assert [segment.tag for segment in found] == ["UNH", "TXT", "TXT", "UNT"]
    assert found[1].get(1) == "foto's van d'Ancona' zo'n"
    assert [segment.repair is Repair.NOT_RELEASED for segment in found] == [False, True, True, False]


def test_a_file_that_ends_too_soon() -> None:
    last = segments(sample("medvri_truncated"))[-1]
    assert (last.repair, last.get(1)) == (Repair.CUT, "Met vrie")


def test_a_file_whose_front_is_missing() -> None:
    found = parse(b"TXT:1+a'\r\nTXT:2+b'\r\nUNT+4+1'\r\nUNZ+1+1'")
    assert [segment.tag for segment in found.interchanges[0].segments] == ["TXT", "TXT", "UNT", "UNZ"]
    assert not parse(b"Just a text, it's nothing.").interchanges


@pytest.mark.parametrize(
    "piece", [b"UNB+UNOA:1", b"UNB+", b"UNA", b"UNH+1+M", b"'", b"?", b" ", b"\r\n", b"' ", b"'\0a", b"+", b"?'"]
)
def test_work_is_linear(piece: bytes) -> None:
    """Ten times the size takes about ten times the steps: nothing here can hang (the test's own time limit sees)."""
    data = b"UNB+UNOA:1+1+2'UNH+1+MEDVRI:1'TXT+" + piece * (1_000_000 // len(piece))
    found = parse(data)
    assert bytes(found) == data
    for interchange in found.interchanges:
        for segment in interchange.segments:
            assert segment.elements is not None


def test_cut_anywhere() -> None:
    data = sample("medlab_full_latin1_crlf")
    for end in random.Random(1).sample(range(len(data)), 200):
        assert bytes(parsed(data[:end])) == data[:end]
