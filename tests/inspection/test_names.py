"""A blocked extension is found however it is dressed up."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.inspection.names import extensions, turns_around

BASE = st.text(st.characters(exclude_characters="/\\:\0", exclude_categories=("Cs",)), max_size=20)
INVISIBLE = st.text(st.sampled_from("\u200b\u2060\ufeff\u00ad\x01\x1f\x7f"), max_size=3)
TRAILING = st.text(st.sampled_from(". \u00a0\u3000\u200b\t\r\n"), max_size=5)
FOLDERS = st.sampled_from(["", "a/", "..\\", "/etc/", "C:\\x\\", "a.txt/"])


@given(folder=FOLDERS, base=BASE, hidden=INVISIBLE, upper=st.booleans(), trailing=TRAILING)
def test_dressed_up_or_not(folder: str, base: str, hidden: str, upper: bool, trailing: str) -> None:
    ending = "EXE" if upper else "exe"
    assert "exe" in extensions(f"{folder}{base}.{ending[0]}{hidden}{ending[1:]}{trailing}")


@given(st.text())
def test_any_name_has_extensions_in_one_spelling(name: str) -> None:
    for extension in extensions(name):
        assert extension == unicodedata.normalize("NFKC", extension.casefold()).casefold() or not extension.isascii()


@pytest.mark.parametrize("character", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
def test_direction_controls(character: str) -> None:
    assert turns_around(f"letter{character}fdp.exe")
    assert not turns_around("letter.exe")


def test_every_character_that_does_not_show_is_left_out() -> None:
    hiding = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\0"]
    assert [c for c in hiding if "exe" not in extensions(f"a.ex{c}e")] == []
