"""Everything that is wrong with an EDIFACT message is found, with its place and its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.edi.model import Finding, Severity
from relayd.edi.names import labels
from relayd.edi.readers.edifact import check, read

SAMPLES = Path(__file__).parent / "samples"
UNB = "UNB+UNOA:1+500000001+500000002+260901:1015+26090100000001'"
LETTER = (
    "UNH+1+MEDVRI:1'",
    "GGA+F. Fysio'",
    "DET+26:09:01+10:15'",
    "PID+1975:03:18+V+Jansen++BSN999990019'",
    "TXT:1+Tekst'",
    "GGO+A. Arts'",
)
REPORT = (
    "UNH+1+MEDLAB:1'",
    "ZKH+Lab'",
    "PID+1975:03:18+V+Jansen++BSN999990019'",
    "AFD+Chemie'",
    "ARA:1+dr. A'",
    "DET:1+26:08:31+08:20'",
    "IDE:1+J+1234'",
    "BEP:1:1:1+0+Natrium+139++mmol/l++135+145+NA'",
)


def written(*segments: str, trailer: str = "") -> bytes:
    trailer = trailer or f"UNT+{len(segments) + 1}+1'\r\nUNZ+1+26090100000001'\r\n"
    return "\r\n".join((UNB, *segments, trailer)).encode("iso-8859-1")


def letter(**changed: str) -> bytes:
    """The letter, with the segments of some tags written otherwise; "" leaves one out."""
    return written(*(line for segment in LETTER if (line := changed.get(segment[:3], segment))))


def report(**changed: str) -> bytes:
    return written(*(line for segment in REPORT if (line := changed.get(segment[:3], segment))))


def found(data: bytes) -> list[tuple[str, str, str]]:
    """The text, the segment and the element of each finding."""
    return [(str(finding), finding.place.tag, finding.place.element) for finding in check(data)]


@pytest.mark.parametrize(
    "name",
    [
        *("medlab_full_latin1_crlf", "medvri_full_latin1_crlf", "medvri_full_one_line", "medspe1_full", "medrad1_full"),
        *("medrpt_mrpn32_full", "two_interchanges_concatenated", "multi_message_3", "una_custom_separators"),
    ],
)
def test_good_messages_have_no_findings(name: str) -> None:
    assert found((SAMPLES / f"{name}.edi").read_bytes()) == []


def test_the_messages_of_these_tests_have_none_either() -> None:
    assert found(letter()) == found(report()) == []


def test_counts_and_references_that_disagree() -> None:
    assert found((SAMPLES / "medvri_bad_unt_count_and_refs.edi").read_bytes()) == [
        ("UNT counts 3 segments where there are 18", "UNT", "1"),
        ("UNZ counts 2 messages where there are 1", "UNZ", "1"),
        ("UNZ has reference X where UNB has 26090100000001", "UNZ", "2"),
    ]


def test_a_reference_of_unt_that_is_not_that_of_unh() -> None:
    assert found(written(*LETTER, trailer="UNT+7+2'\r\nUNZ+1+26090100000001'")) == [
        ("UNT has reference 2 where UNH has 1", "UNT", "2")
    ]


def test_an_end_that_is_missing() -> None:
    assert found(written(*LETTER, trailer=" ")) == [
        ("The interchange has no end: UNZ is missing", "GGO", ""),
        ("The message has no end: UNT is missing", "GGO", ""),
    ]


def test_a_file_that_is_cut() -> None:
    findings = check((SAMPLES / "medvri_truncated.edi").read_bytes())
    assert [(str(finding), finding.place.line, finding.severity) for finding in findings][1] == (
        *("The file ends in the middle of the segment", 16),
        Severity.ERROR,
    )


def test_a_message_without_envelope() -> None:
    assert found((SAMPLES / "medvri_no_unb_bare_message.edi").read_bytes()) == [
        ("The message has no envelope: UNB is missing", "UNH", "")
    ]


@pytest.mark.parametrize(
    ("una", "finding"),
    [
        (b"UNA:+.?'", "UNA has five characters instead of six"),
        (b"UNA++.? '", "The separators of UNA can't be told apart; the usual ones are used"),
    ],
)
def test_service_string_advice(una: bytes, finding: str) -> None:
    assert [text for text, *_ in found(una + letter())] == [finding]


@pytest.mark.parametrize(
    ("tag", "segment", "expected"),
    [
        ("GGA", "", [("The segment GGA is missing", "UNH", "")]),
        ("GGA", "GGA++Fysiotherapie'", [("Person is missing", "GGA", "1")]),
        ("DET", "DET+26:13:01+10:15'", [("Date and time is no date or time", "DET", "1")]),
        ("PID", "PID+1975:02:30+V+Jansen'", [("Date of birth is no date or time", "PID", "1")]),
        ("PID", "PID+1975:03:18+X+Jansen'", [("Sex has a value that is not known", "PID", "2")]),
        ("PID", "PID+1975:03:18+V+Jansen++BSN123456789'", [("The BSN fails its check", "PID", "5")]),
        ("PID", "PID+1975:03:18++Jansen'", [("Sex is missing", "PID", "2")]),
        ("TXT", f"TXT:1+{'x' * 71}'", [("Text is longer than an..70", "TXT", "1")]),
        ("TXT", "TXT:1+a: b'", [("A separator stands in the text without release", "TXT", "1")]),
        ("TXT", "TXT:1+foto's'", [("A character that ends segments stands in the text without release", "TXT", "")]),
        (
            "TXT",
            "TXT+a\r\nTXT+b'",
            [
                ("A line of the text looks like a segment: the character that ends one may be missing", "TXT", ""),
                ("A separator stands in the text without release", "TXT", "1"),
            ],
        ),
        ("GGO", "GGO+A. Arts++++++nieuw'", [("There is more in the segment than the message knows", "GGO", "7")]),
        ("GGO", "QQQ+x'", [("The segment QQQ is not known in this message", "QQQ", "")]),
        ("GGO", "GGO+A. Arts+++Laan'", [("City is missing", "GGO", "4.4")]),
        ("GGO", "GGO+A. Arts'\r\nTXT:2+b'", [("UNT counts 7 segments where there are 8", "UNT", "1")]),
        ("GGO", "?'", [("This is no segment", "", "")]),
    ],
)
def test_what_a_letter_should_not_have(tag: str, segment: str, expected: list[tuple[str, str, str]]) -> None:
    assert set(expected) <= set(found(letter(**{tag: segment})))


@pytest.mark.parametrize(
    ("tag", "segment", "expected"),
    [
        ("AFD", "", ("ARA can't stand behind PID", "ARA", "")),
        ("IDE", "", ("BEP can't stand behind DET", "BEP", "")),
        ("IDE", "IDE:1+X+1234'", ("Complete has a value that is not known", "IDE", "1")),
        ("IDE", "IDE:1+J+1234567890'", ("Laboratory number is longer than an..9", "IDE", "2")),
        ("BEP", "BEP+0+Na+onduidelijk'", ("Result is longer than an..9", "BEP", "3")),
        ("BEP", "BEP+0++139'", ("Test is missing", "BEP", "2")),
        ("BEP", "BEP+x+Na+139'", ("Kind of line is not of the form n1", "BEP", "1")),
        ("ARA", "ARA+dr. A'\r\nART+H+123456789+Huis'", ("The code is no AGB code", "ART", "2")),
        ("ARA", "ARA+dr. A'\r\nTXT+x'", ("The segment TXT is not known in this message", "TXT", "")),
    ],
)
def test_what_a_report_should_not_have(tag: str, segment: str, expected: tuple[str, str, str]) -> None:
    assert expected in found(report(**{tag: segment}))


def test_an_envelope_that_lacks_what_it_needs() -> None:
    data = letter().replace(b"+500000001+500000002+260901:1015+", b"++500000002+269901:1015+")
    assert found(data) == [("Sender is missing", "UNB", "2"), ("Prepared is no date or time", "UNB", "4")]


def test_a_bsn_of_a_report_in_standard_segments() -> None:
    data = (SAMPLES / "medrpt_mrpn32_full.edi").read_bytes().replace(b"999990019", b"999990018")
    assert found(data) == [("The BSN fails its check", "PNA", "2.3"), ("The BSN fails its check", "RFF", "1.2")]


def test_segments_are_in_the_order_of_the_file_and_have_lines() -> None:
    findings = check(letter(GGA="GGA++x'", TXT=f"TXT:1+{'x' * 71}'"))
    assert [(finding.place.line, finding.place.segment) for finding in findings] == [(3, 3), (6, 6)]


def test_a_reading_has_what_may_have_cost_meaning_only() -> None:
    data = letter(TXT=f"TXT:1+{'x' * 71}'")
    assert check(data)
    assert read(data).documents[0].findings == ()


def test_every_finding_can_be_translated() -> None:
    findings: list[Finding] = []
    for path in SAMPLES.glob("*.edi"):
        data = path.read_bytes()
        findings += check(data) + check(data[: len(data) // 2]) + check(data.replace(b"+", b"'", 9))
    assert {finding.text for finding in findings} <= labels()
