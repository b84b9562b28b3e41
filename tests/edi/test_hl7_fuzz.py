"""Whatever the octets are, reading HL7 raises nothing and loses no text of a segment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import hl7, names_hl7
from relayd.edi.readers.hl7 import check, read
from relayd.edi.readers.hl7_values import is_embedded, moment, time
from tests.kit.hl7 import NAMES, message, mutations, sample, third_party

COUNT = int(os.environ.get("RELAYD_FUZZ", "300"))
pytestmark = pytest.mark.timeout(max(120, COUNT // 10))
#: What takes a square of its length of time never ends within that limit.
LENGTH = 64 * 1024

#: Codes that the model has by a word of its own, or that only say what a value is by its place.
TRANSLATED = frozenset(
    {*names_hl7.FLAGS, *names_hl7.STATUSES, *names_hl7.SEXES, *names_hl7.SYSTEMS}
    | {"NLMINBIZA", "NNNLD", "BSN", "VEKTIS", "VEKTIS-AGB", "AGB", "UZOVI", "NI", "UCUM", "ISO+", "ANS+", "ISO"}
    | {"2.16.840.1.113883.2.4.6.1", "2.16.840.1.113883.2.4.6.3", "2.16.840.1.113883.2.4.6.4"}
    | {"PRN", "CP", "PH", "ORN", "WPN", "NET", "INTERNET", "X.400", "L", "M"}
)


def strings(value: object) -> Iterator[str]:
    """Every text in a reading."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from strings(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from strings(tuple(value.values()))
    elif isinstance(value, tuple):
        for each in value:
            yield from strings(each)


def leaves(segment: hl7.Segment) -> Iterator[tuple[int, str]]:
    """Each field's number with the unescaped texts of its sub-components."""
    type = segment.value(2).upper() if segment.tag == "OBX" else ""
    for number in range(1, len(segment.fields)):
        if segment.tag in hl7.HEADERS and number <= 2:
            continue
        for raw in segment.repetitions(number):
            if segment.tag == "OBX" and number == 5 and is_embedded(segment, raw, type):
                continue
            for component in segment.components(raw):
                for text in segment.subcomponents(component):
                    yield number, segment.unescape(text)


def is_found(segment: hl7.Segment, number: int, text: str, all_text: str) -> bool:
    """Whether a value stands somewhere, if not as it is written then as the model has such a value."""
    plain = text.strip()
    if all(word in all_text or word.upper() in TRANSLATED for word in plain.split()):
        return True
    if any(said in all_text for said in (moment(plain), moment(plain[:8]), time(plain))):
        return True
    match segment.tag, number:
        case "MSH", 9:  # the structure that follows from the type
            return True
        case "OBX", 7:
            return all(limit.strip() in all_text for limit in plain.split("-"))
        case ("OBX", 2) | ("NTE", 2):
            return True
        case (_, 1) | ("OBX", 4):  # the segments' numbers
            return plain.isdigit()
    return False


def assert_nothing_lost(data: bytes) -> None:
    all_text = "\n".join(strings(read(data)))
    for segment in hl7.split(data).segments():
        if len(set(segment.separators)) < 5 or "." in segment.separators:
            continue  # one character for two things (the dot is of .br, too): what its values are is anybody's guess
        for number, text in leaves(segment):
            assert is_found(segment, number, text, all_text), f"{segment.tag}-{number}: {text!r}"


SAMPLED = [pytest.param(sample(name), id=name) for name in NAMES]
SAMPLED += [pytest.param(path.read_bytes()[:20_000], id=path.name) for path in third_party()]


@pytest.mark.parametrize("data", SAMPLED)
def test_a_sample_is_read_whole(data: bytes) -> None:
    assert_nothing_lost(data)


@pytest.mark.parametrize("data", SAMPLED)
def test_a_changed_sample_is_read_whole(data: bytes) -> None:
    for changed in mutations(data, COUNT, seed=len(data)):
        if changed[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            assert_nothing_lost(changed)
        check(changed)


def test_a_number_may_be_in_any_digits() -> None:
    for digit in ("\u00b2", "\u0663", "\u2167"):
        data = message("OBR|1", f"OBX|{digit}|ST|A^A^L||x||||||F", charset="UNICODE UTF-8", encoding="utf-8")
        assert_nothing_lost(data)
        check(data)


@given(st.binary(max_size=300))
def test_any_octets_are_read(data: bytes) -> None:
    for each in (data, b"MSH|^~\\&|" + data, message("OBR|1", "OBX|1|").rstrip(b"\r") + data):
        read(each)
        check(each)


FIELDS = st.lists(
    st.sampled_from(["", "a", "1", "&", "^", "~", "\\", '""', "\\F\\", "2026", "Base64", "ED", "é"]), max_size=9
)
SEGMENTS = st.tuples(st.sampled_from(sorted(names_hl7.SEGMENTS)), st.lists(FIELDS.map("".join), max_size=30))


@given(st.lists(SEGMENTS.map(lambda made: "|".join((made[0], *made[1]))), max_size=12))
def test_segments_in_any_order_are_read_whole(segments: list[str]) -> None:
    assert_nothing_lost(message(*(segment.replace("MSH|", "ZSH|") for segment in segments)))


LONG_SEGMENTS = {
    "orders": "OBR|1|A|B|X^Y^LN\r",
    "order controls": "ORC|RE|A\r",
    "orders with their controls behind": "OBR|1|A\rORC|RE|A\r",
    "specimens": "SPM|1|a||s\r",
    "results": "OBX|1|NM|a^b^LN||1|g|1-2|H|||F\r",
    "lines": "OBX|1|TX|a^b^LN||text||||||F\r",
    "remarks": "NTE|1||x\r",
    "patients": "PID|1||x\rPID|1||y\r",
    "the sender's own": "ZZZ|1|a\r",
    "headers": "MSH|^~\\&|A\r",
    "batches": "BHS|^~\\&\rBTS|1\r",
    "frames": "\x0bMSH|^~\\&|A\r\x1c\r",
    "line ends": "\r\n",
}
LONG_VALUES = {
    "lines in a text": "a\n",
    "paragraphs": "a\n\n",
    "fields": "|a",
    "components": "^a",
    "sub-components": "&a",
    "repetitions": "~a^b",
    "escapes": "\\.br\\",
    "escapes without end": "\\.br",
    "hexadecimal": "\\X0D0A",
    "digits": "1",
    "spaces": " ",
    "initials": "A.",
}


@pytest.mark.parametrize("unit", LONG_SEGMENTS.values(), ids=LONG_SEGMENTS)
def test_long_messages_take_no_longer_than_they_are_long(unit: str) -> None:
    data = message("OBR|1\r" + unit * (LENGTH // len(unit)), type="OUL^R22")
    read(data)
    check(data)


@pytest.mark.parametrize("unit", LONG_VALUES.values(), ids=LONG_VALUES)
@pytest.mark.parametrize(
    "front",
    ["PID|1||1|", "OBR|1\rOBX|1|CWE|x||", "OBR|1\rOBX|1|ED|x||^application^pdf^Base64^", "OBR|1\rOBX|1|NM|x||1||"],
)
def test_long_values_take_no_longer_than_they_are_long(front: str, unit: str) -> None:
    data = message(front + unit * (LENGTH // len(unit)))
    read(data)
    check(data)


def test_many_specimens_of_many_orders_are_read_once() -> None:
    count = LENGTH // 20
    read(message(*["SPM|1|a||s"] * count, *["OBR|1"] * count, type="OUL^R22"))
    read(message(*["OBR|1"] * count, *["SPM|1|a||s"] * count, type="OUL^R22"))
