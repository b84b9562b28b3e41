"""Which characters a message is written in, whatever it says of itself."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi.charset import decode, encode, text

DUTCH = "patiënte, één à twee keer; coördinatie, 5 µmol/l ± 1"


@pytest.mark.parametrize(
    ("octets", "declared", "charset"),
    [
        (b"plain", "", "ascii"),
        (b"plain", "utf-16", "ascii"),
        (codecs.BOM_UTF8 + DUTCH.encode(), "iso-8859-1", "utf-8"),
        (DUTCH.encode(), "iso-8859-1", "utf-8"),
        (DUTCH.encode("iso-8859-1"), "utf-8", "iso-8859-1"),
        (DUTCH.encode("iso-8859-1"), "us-ascii", "iso-8859-1"),
        ("foto’s van de patiënt – 50 €".encode("cp1252"), "", "cp1252"),
        ("“citaat” – en ‘nog een’…".encode("cp1252"), "", "cp1252"),
        (DUTCH.encode("cp850"), "", "cp850"),
        ("café dieët".encode("cp437"), "", "cp850"),
        ("50 €".encode("iso-8859-15"), "ISO_8859-15", "iso8859-15"),
        (DUTCH.encode("cp850"), "ibm850", "cp850"),
        (DUTCH.encode("iso-8859-1"), "\0 rot13 unicode_escape", "iso-8859-1"),
    ],
)
def test_the_octets_decide(octets: bytes, declared: str, charset: str) -> None:
    read, found, _ = decode(octets, declared)
    assert found == charset
    assert "ï¿½" not in read
    assert read == octets.removeprefix(codecs.BOM_UTF8).decode(charset)


@pytest.mark.parametrize(
    "declared", ["rot13", "unicode_escape", "utf-7", "utf-16", "base64", "cp037", "idna", "x", "é"]
)
def test_a_declared_set_that_is_none_is_passed_over(declared: str) -> None:
    assert decode(b"caf\xe9 a\\d", declared)[:2] == ("café a\\d", "iso-8859-1")


def test_utf8_with_a_broken_character_stays_utf8() -> None:
    read, charset, findings = decode("één patiënte".encode() + b" 5 \xb5mol")
    assert (read, charset) == ("één patiënte 5 µmol", "utf-8")
    assert findings


def test_a_dos_page_is_reported() -> None:
    assert [str(found) for found in decode(DUTCH.encode("cp850"))[2]] == [
        "The text is in a DOS code page (read as cp850)"
    ]


@given(st.binary(), st.sampled_from(["", "utf-8", "iso-8859-15", "cp437", "cp932", "koi8-r", "\0"]))
def test_any_octets_are_read_and_none_is_dropped(octets: bytes, declared: str) -> None:
    read, charset, _ = decode(octets, declared)
    assert text(octets.removeprefix(codecs.BOM_UTF8), charset) == read
    if charset != "utf-8":
        assert len(read) == len(octets)


@pytest.mark.parametrize(
    ("value", "octets", "changed"),
    [
        ("pati\u00ebnt", b"pati\xebnt", ()),
        ("patie\u0308nt", b"pati\xebnt", ()),
        ("€ 50 – “ja”", b'EUR 50 - "ja"', ("€", "–", "“", "”")),
        ("Łódź č ĳs 日", b"L\xf3dz c ijs ?", ("Ł", "ź", "č", "ĳ", "日")),
    ],
)
def test_what_is_written_is_iso_8859_1(value: str, octets: bytes, changed: tuple[str, ...]) -> None:
    written, what = encode(value)
    assert what == changed
    assert written == octets or "Ł" in value


@given(st.text())
def test_any_text_can_be_written(value: str) -> None:
    encode(value)
