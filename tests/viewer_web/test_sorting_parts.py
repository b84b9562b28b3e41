"""Which parts are shown and which are files, and under what names they are kept."""

from __future__ import annotations

import io
import unicodedata
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.meta import Part
from viewer_web.archive import distinct
from viewer_web.reading import attachment_name, clean_name, reading

RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{p}{n}" for p in ("com", "lpt") for n in "0123456789¹²³"
}
PIECES = [
    "CON",
    "nul",
    "aux",
    "COM1",
    "Lpt\u00b9",
    ".",
    "..",
    "/",
    "\\",
    " ",
    "\u202e",
    "\r\n",
    "\0",
    "e\u0301",
    "\U0001f600",
    ":",
]
NAMES = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=60).map("".join)


def is_harmless(name):
    return (
        len(name.encode()) <= 200
        and not set(name) & set('/\\:*?"<>|')
        and not any(unicodedata.category(one).startswith("C") for one in name)
        and name == name.strip(" .")
        and name.partition(".")[0].rstrip(" ").lower() not in RESERVED
    )


@given(NAMES)
def test_any_name_is_harmless_on_any_system(name):
    kept = clean_name(name)
    assert is_harmless(kept)
    assert clean_name(kept) == kept


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1 .txt", "_com1.txt"),
        ("LPT\u00b2.doc", "_LPT\u00b2.doc"),
        ("console.log", "console.log"),
        ("\U0001f600" * 120 + ".pdf", "\U0001f600" * 49 + ".pdf"),
        ("x" * 119 + "." + "y" * 20, "x" * 119),
        ("cafe\u0301.txt", "caf\u00e9.txt"),
        ("uitslag.pdf" + " " * 90 + ".exe", "uitslag.pdf.exe"),
        (" /\u202e/ ", ""),
    ],
)
def test_names_that_some_system_would_take_for_something_else(name, kept):
    assert clean_name(name) == kept


@given(st.lists(NAMES, max_size=30))
def test_no_two_files_of_an_archive_are_one_on_any_system(names):
    kept = distinct(clean_name(name) or "bijlage" for name in names)
    assert len(kept) == len(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in kept}) == len(names)
    assert all(len(name.encode()) <= 255 for name in kept)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number, name in enumerate(kept):
            file.writestr(name, str(number))
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == kept


def test_numbers_skip_names_that_are_taken():
    assert distinct(["a (2).txt", "a.txt", "A.TXT", "a.txt"]) == ["a (2).txt", "a.txt", "A (3).TXT", "a (4).txt"]


class Counted(str):
    """A path that counts what is asked of it."""

    asked = 0

    def __eq__(self, other):
        Counted.asked += 1
        return super().__eq__(other)

    def __hash__(self):
        return super().__hash__()

    def startswith(self, *arguments):
        Counted.asked += 1
        return super().startswith(*arguments)

    def split(self, *arguments):
        Counted.asked += 1
        return super().split(*arguments)


def part(path, kind, **facts):
    return Part(Counted(path), kind, 0, 0, **facts)


def test_ten_thousand_parts_are_sorted_in_one_go():
    parts = [part("", "multipart/mixed")]
    for number in range(1, 2001):
        parts += [
            part(f"{number}", "multipart/alternative"),
            part(f"{number}.1", "text/plain"),
            part(f"{number}.2", "text/html"),
            part(f"{number}.3", "message/rfc822"),
            part(f"{number}.3.1", "text/html"),
        ]
    Counted.asked = 0
    shown = reading(parts)
    assert Counted.asked < 20 * len(parts)
    assert [one.path for one in shown.html] == [f"{number}.2" for number in range(1, 2001)]
    assert [one.path for one in shown.text] == [f"{number}.1" for number in range(1, 2001)]
    assert [one.path for one in shown.attachments] == [f"{number}.3" for number in range(1, 2001)]


def test_as_many_files_of_one_name_are_numbered_in_one_go():
    names = distinct(["brief.pdf"] * 10_000)
    assert names[-1] == "brief (10000).pdf"
    assert len(set(names)) == 10_000


def test_a_form_within_another_is_shown_once():
    parts = [
        part("", "multipart/alternative"),
        part("1", "text/plain"),
        part("2", "multipart/alternative"),
        part("2.1", "text/plain"),
        part("2.2", "text/html"),
    ]
    assert [one.path for one in reading(parts).html] == ["2.2"]


def test_what_stands_in_an_attached_message_is_part_of_that_file():
    parts = [
        part("", "multipart/mixed"),
        part("1", "text/plain"),
        part("2", "message/rfc822"),
        part("2.1", "multipart/mixed"),
        part("2.1.1", "text/html"),
        part("20", "text/html"),
    ]
    shown = reading(parts)
    assert [one.path for one in shown.html] == ["1", "20"]
    assert [attachment_name(one, "bijlage") for one in shown.attachments] == ["bijlage.eml"]
