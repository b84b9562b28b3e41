"""Every sample is read and shown whole; what is no EDI, or defeats a reader, is still there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.edi import reading
from relayd.edi.detect import leaves, sniff
from relayd.edi.model import Severity
from relayd.edi.readers import edifact
from relayd.edi.rendering import html, text
from tests.edi.everything import Page, missing, smuggled

SAMPLES = Path(__file__).parent / "samples"
OTHERS = os.environ.get("RELAYD_EDI_SAMPLES", "")


def files() -> list[Path]:
    found = [file for file in SAMPLES.iterdir() if file.is_file()]
    if OTHERS:
        found += [file for file in Path(OTHERS).rglob("*") if file.is_file() and file.suffix != ".md"]
    return sorted(found)


def edi(file: Path) -> list[bytes]:
    data = file.read_bytes()
    return [data] if sniff(data) else [leaf.data for leaf in leaves(data)]


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_a_sample_is_read_and_everything_of_it_is_shown(file):
    found = edi(file)
    assert found
    for data in found:
        read = reading.read(data)
        assert read.documents
        page = Page(html(read, "en").html)
        assert missing(read, "".join(page.text)) == []
        assert missing(read, text(read, "en")) == []
        assert smuggled(page) == set()
        assert html(read, "nl").html


@pytest.mark.parametrize(
    "names", [("medlab_full_latin1_crlf.edi", "ack_ae.hl7"), ("ack_ae.hl7", "medlab_full_latin1_crlf.edi")]
)
def test_a_message_of_another_kind_in_the_same_file_is_an_error(names):
    first, second = ((SAMPLES / name).read_bytes() for name in names)
    for data, errors in ((first, 0), (first + second, 1), (first + b"\r\n-- \r\nHet laboratorium\r\n", 0)):
        found = [one.text for one in reading.read(data).findings if one.severity is Severity.ERROR]
        assert found == ["A message of another kind is in the same file; it is shown as text"] * errors


@pytest.mark.parametrize("name", ["medlab_full_latin1_crlf.edi", "oul_r22_lab2lab_latin1.hl7"])
def test_a_message_in_utf_16_says_the_same(name):
    data = (SAMPLES / name).read_bytes()
    wide = data.decode("latin-1").encode("utf-16")
    assert [one.patient for one in reading.read(wide).documents] == [
        one.patient for one in reading.read(data).documents
    ]
    assert "The message is in UTF-16, which hardly any system can read" in [one.text for one in reading.check(wide)]


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_octets_are_read_checked_and_shown(data):
    read = reading.read(data)
    reading.check(data)
    assert missing(read, text(read, "en")) == []
    assert html(read, "nl").html


SMALL = [data for file in files() for data in edi(file) if len(data) < 4000]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A sample with some of its octets gone, changed or in another place."""
    data = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 12))
        data[start:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b"+", b":", b"'", b"?", b"\r", b"|", b"^", b"&"])
        )
    return bytes(data)


@given(mutations())
@settings(max_examples=60, deadline=None)
def test_a_damaged_message_is_shown_whole(data):
    read = reading.read(data)
    page = Page(html(read, "en").html)
    assert missing(read, "".join(page.text)) == []
    assert missing(read, text(read, "en")) == []
    assert smuggled(page) == set()


def test_what_is_no_edi_is_text_with_a_finding():
    read = reading.read(b"Beste collega, geen koorts\r\nGroet")
    assert read.documents == ()
    assert read.outside[0].lines == ("Beste collega, geen koorts", "Groet")
    assert [finding.severity for finding in read.findings] == [Severity.ERROR]
    assert reading.check(b"") == [reading.NO_EDI]


def test_a_readers_defect_costs_nobody_a_message(monkeypatch):
    def broken(data: bytes, charset: str) -> object:
        raise RecursionError("Jansen, 999990019")

    monkeypatch.setattr(edifact, "read", broken)
    monkeypatch.setattr(edifact, "check", broken)
    data = (SAMPLES / "medvri_full_latin1_crlf.edi").read_bytes()
    read = reading.read(data)
    assert "behandeling" in text(read, "nl")
    (finding,) = read.findings
    assert "Jansen" not in str(finding)
    assert [one.severity for one in reading.check(data)] == [Severity.ERROR]
