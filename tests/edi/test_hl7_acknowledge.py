"""Answers to HL7 messages: by mode, by type, by version, and what others' answers mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from relayd.edi import hl7
from relayd.edi.acknowledge import Answer, ErrorCode, Fault, acknowledge, faults, key, read_answer, wishes
from tests.kit.hl7 import sample

NOW = datetime(2026, 9, 1, 8, 15, 1, tzinfo=UTC)


def only(data: bytes) -> hl7.Message:
    (message,) = hl7.split(data).messages
    return message


def answered(data: bytes, answer: Answer = Answer.ACCEPTED, *problems: Fault) -> list[str]:
    return acknowledge(only(data), answer, NOW, "R1", problems).decode("latin-1").split("\r")[:-1]


def test_an_order_is_answered_by_its_response_with_the_systems_exchanged() -> None:
    assert answered(sample("oml_o21_lab2lab_latin1.hl7")) == [
        "MSH|^~\\&|LIS|LABZUID|GLIMS|LABNOORD|20260901081501+0000||ORL^O22^ORL_O22|R1|P|2.5|||||NLD|8859/1",
        "MSA|AA|MSG00001",
    ]


@pytest.mark.parametrize(
    ("type", "answer", "expected"),
    [
        ("OUL^R22^OUL_R22", Answer.ACCEPTED, "ACK^R22^ACK"),
        ("ORU^R01", Answer.ERROR, "ACK^R01^ACK"),
        ("OML^O21^OML_O21", Answer.RECEIVED, "ACK^O21^ACK"),
        ("ORM^O01", Answer.ACCEPTED, "ORR^O02^ORR_O02"),
        ("ACK", Answer.ACCEPTED, "ACK"),
    ],
)
def test_the_type_of_an_answer(type: str, answer: Answer, expected: str) -> None:
    assert answered(f"MSH|^~\\&|A|B|C|D|||{type}|1|P|2.5\r".encode(), answer)[0].split("|")[8] == expected


def test_a_fault_is_told_with_its_place_and_code() -> None:
    fault = Fault(ErrorCode.TABLE_VALUE, "OBR", 1, 4, "Unknown | test")
    lines = answered(sample("oul_r22_lab2lab_latin1.hl7"), Answer.ERROR, fault)
    assert lines[1:] == [
        "MSA|AE|MSG00002",
        "ERR||OBR^1^4|103^A code that isn't in its table^HL70357|E||||Unknown \\F\\ test",
    ]


def test_a_fault_for_an_older_version_stands_where_that_has_it() -> None:
    lines = answered(b"MSH|^~\\&|A|B|C|D|||ORU^R01|1|T|2.3\r", Answer.REFUSED, Fault(ErrorCode.INTERNAL))
    assert lines == [
        "MSH|^~\\&|C|D|A|B|20260901081501+0000||ACK^R01^ACK|R1|T|2.3",
        "MSA|AR|1|Internal error",
        "ERR|^^^207&Internal error&HL70357",
    ]


def test_an_answer_is_in_the_separators_and_characters_of_the_message() -> None:
    lines = answered(sample("custom_delims.hl7"), Answer.ERROR, Fault(ErrorCode.INTERNAL, text="a$b"))
    assert lines[0].startswith("MSH$*@!%$C$D$A$B$")
    assert lines[1:] == ["MSA$AE$1", "ERR$$$207*Internal error*HL70357$E$$$$a!F!b"]
    utf8 = "MSH|^~\\&|Zuidlaboratorium Één|||||||1|P|2.5||||||UNICODE UTF-8\r".encode()
    assert "Één".encode() in acknowledge(only(utf8), Answer.ACCEPTED, NOW, "R1")


def test_what_is_no_message_is_refused() -> None:
    (fault,) = faults(None)
    octets = acknowledge(None, Answer.REFUSED, NOW, "R1", (fault,))
    assert octets.split(b"\r")[1:-1] == [
        b"MSA|AR",
        b"ERR||MSH^1|100^Segments in the wrong order^HL70357|E||||The message doesn't begin with MSH",
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.5", []),
        ("MSH|^~\\&|A|B|C|D|||ORU^R01||P|2.5", [("101", 10)]),
        ("MSH|^~\\&|A|B|C|D|||||P|2.5", [("101", 9), ("101", 10)]),
        ("MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|3", [("203", 12)]),
        ("PID|1", [("100", 0)]),
    ],
)
def test_faults_that_keep_a_message_out(header: str, expected: list[tuple[str, int]]) -> None:
    assert [(fault.code.value, fault.field) for fault in faults(only(f"{header}\r".encode()))] == expected


@pytest.mark.parametrize(
    ("receipt", "application", "positive", "wanted"),
    [
        ("", "", True, (False, True)),
        ("", "", False, (False, True)),
        ("AL", "NE", True, (True, False)),
        ("AL", "AL", False, (True, True)),
        ("ER", "SU", True, (False, True)),
        ("ER", "SU", False, (True, False)),
        ("NE", "", True, (False, False)),
        ("XX", "", True, (True, False)),
    ],
)
def test_answers_that_are_wanted(receipt: str, application: str, positive: bool, wanted: tuple[bool, bool]) -> None:
    header = f"MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.5|||{receipt}|{application}\r"
    found = wishes(only(header.encode()))
    assert (found.wants_receipt(positive), found.wants_application(positive)) == wanted


def test_the_same_message_has_the_same_key() -> None:
    first, again = only(sample("oul_r22_lab2lab_latin1.hl7")), only(sample("oul_r22_crlf.hl7"))
    assert key(first) == key(again) == ("LIS", "LABZUID", "MSG00002")
    assert key(only(b"MSH|^~\\&|A|B|C|D|||ORU^R01||P|2.5\r")) is None


@pytest.mark.parametrize(
    ("octets", "answer", "errors", "again"),
    [
        (sample("ack_aa.hl7"), Answer.ACCEPTED, (), False),
        (sample("ack_ae.hl7"), Answer.ERROR, ("103",), False),
        (b"MSH|^~\\&|A\rMSA|ar|MSG00001\rERR|OBR^1^4^207&x\r", Answer.REFUSED, ("207",), True),
    ],
)
def test_an_answer_of_others_is_read(octets: bytes, answer: Answer, errors: tuple[str, ...], again: bool) -> None:
    found = read_answer(octets)
    assert found is not None
    assert (found.answer, found.reference, found.errors) == (answer, "MSG00001", errors)
    assert found.answer.may_be_retried is again


@pytest.mark.parametrize("octets", [b"", b"hello", b"MSH|^~\\&|A\rMSA|ZZ|1\r", b"MSH|^~\\&|A\rPID|1\r"])
def test_what_is_no_answer_is_none(octets: bytes) -> None:
    assert read_answer(octets) is None


def test_our_own_answer_is_read_as_one() -> None:
    octets = acknowledge(only(sample("oul_r22_utf8.hl7")), Answer.ERROR, NOW, "R1", (Fault(ErrorCode.INTERNAL),))
    found = read_answer(octets)
    assert found is not None
    assert (found.answer, found.reference, found.errors) == (Answer.ERROR, "MSG00002", ("207",))
