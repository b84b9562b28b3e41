"""Reading YAML: fewer surprises than YAML 1.1, lines that are right, and no exception for any text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relayd.settings.accounts import read_accounts
from relayd.settings.contacts import read_contacts
from relayd.settings.source import parse

PATH = Path("x.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("587:25", "587:25"),
        ("2027-01-01", "2027-01-01"),
        ("0o17", "0o17"),
        ("010", "010"),
        ("-3", -3),
        ("1.5", 1.5),
        ("~", None),
        ("'5'", "5"),
        ("[1, [2]]", [1, [2]]),
        ("a: 1\nb: {c: d}", {"a": 1, "b": {"c": "d"}}),
        ("x: &a {k: 1}\ny: {<<: *a, l: 2}", {"x": {"k": 1}, "y": {"k": 1, "l": 2}}),
        ("- &a {k: 1}\n- &b {k: 2, m: 3}\n- {<<: [*a, *b]}", [{"k": 1}, {"k": 2, "m": 3}, {"k": 1, "m": 3}]),
    ],
)  # fmt: skip
def test_scalars_are_what_they_look_like(text: str, value: Any) -> None:
    source, problems = parse(PATH, text)
    assert problems == []
    assert source.value == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "x.yaml:2: a: stands here a second time (first on line 1); keep one of them"),
        ("a:\n  - b: 1\n    b: 2", "x.yaml:3: a.0.b: stands here a second time (first on line 2)"),
        ("a: &x [*x]", "x.yaml:1: a.0: an alias can't stand inside its own anchor"),
        ("a: !!python/object:os.system ls", "x.yaml:1: a: the tag tag:yaml.org,2002:python/object:os.system means"),
        ("? [a, b]\n: c", "x.yaml:1: a key must be plain text"),
        ("a: {<<: 3}", "x.yaml:1: a: << needs a mapping"),
        ("a: " + "9" * 5000, "x.yaml:1: a: isn't what its form promises"),
        ("[" * 5000, "x.yaml: is nested too deeply"),
        ("a: *b", "x.yaml:1: is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "x.yaml:2: is not YAML"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, says: str) -> None:
    _, problems = parse(PATH, text)
    assert any(str(problem).startswith(says) for problem in problems), [str(problem) for problem in problems]


def test_a_location_that_is_missing_has_the_line_of_what_should_hold_it() -> None:
    source, _ = parse(PATH, "a:\n  b:\n    - c: 1\n    - d: 2\n")
    assert source.line(["a", "b", 1, "d"]) == 4
    assert source.line(["a", "b", 1, "missing"]) == 4
    assert source.line(["a", "missing"]) == 1


def test_a_merge_key_that_holds_itself_has_no_lines_but_does_no_harm() -> None:
    source, problems = parse(PATH, "a: &x {<<: *x}")
    assert len(problems) > 0
    assert source.line(["a", "missing"]) is None


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet="ab:-[]{}&*!?|>'\"#\n \t<,~%@`0"))
def test_no_text_raises(text: str) -> None:
    source, problems = parse(PATH, text)
    assert source.value is None or not problems or all(str(problem) for problem in problems)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abcxyz", min_size=1), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_what_was_dumped_reads_back(value: Any) -> None:
    source, problems = parse(PATH, yaml.safe_dump(value))
    assert problems == []
    assert source.value == value


@given(content=st.binary(max_size=300) | st.text(alphabet='a@.,:{}=+316\n"# ', max_size=300).map(str.encode))
def test_accounts_and_contacts_files_never_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    path.write_bytes(content)
    accounts, problems = read_accounts(path)
    assert accounts == [] or problems == [] or all(problem.line for problem in problems)
    contacts, _ = read_contacts(path)
    assert all("@" in key and number.startswith("+") for key, number in contacts.items())
