"""Lines that begin a file within plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.text_files import TextFiles


def found(content: bytes, size: int = 1 << 20) -> set[int]:
    files = TextFiles()
    for start in range(0, len(content), size):
        files.feed(content[start : start + size])
    files.feed(b"\n")
    return files.found


@pytest.mark.parametrize(
    "line",
    [
        b"begin 644 a.exe",
        b"begin 0755  my file.exe ",
        b"begin-base64 644 a.js",
        b'begin 644 "a.exe"',
        b"begin 644 a=2Eexe",
        b"=ybegin line=128 size=9 name=a.exe",
        b"=ybegin part=1 line=128 size=9 name=a b.zip",
    ],
)
def test_a_line_that_names_a_file_is_found(line: bytes) -> None:
    content = b"Hello\r\n" + line + b"\r\nM\r\nend\r\n"
    assert [found(content, size) for size in range(1, 40)] == [{7}] * 39
    assert found(line) == {0}


@pytest.mark.parametrize(
    "line",
    [
        b"begin 100 mg",
        b"begin 2026 ook",
        b"begin a.exe",
        b" begin 644 a.exe",
        b"> begin 644 a.exe",
        b"beginning 644 a.exe",
        b"begin 644 ends with a dot.",
        b"=ybegin",
        b"begin 644 " + b"x" * 600 + b".exe",
    ],
)
def test_prose_is_none(line: bytes) -> None:
    assert found(b"Hello\r\n" + line + b"\r\n") == set()


@given(
    st.lists(
        st.sampled_from(
            [b"\n", b"begin", b"begin 644 a.exe", b" 644 ", b"a.b", b"=ybegin x name=a.b", b"\r\n", b"x" * 300]
        )
    ).map(b"".join),
    st.integers(1, 20),
)
def test_borders_do_not_matter(content: bytes, size: int) -> None:
    assert found(content, size) == found(content)


def test_a_flood_of_them_is_given_up() -> None:
    files = TextFiles()
    files.feed(b"begin\n" * 20_000)
    assert files.gave_up
