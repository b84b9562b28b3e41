"""The operator's table of codes: every mistake has its line and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.edi.mapping import parse_mapping, read_mapping
from relayd.errors import ConfigurationError


def mistakes(text: str) -> list[str]:
    return [str(problem) for problem in parse_mapping(text, "codes.csv")[1]]


def test_rows_are_found_by_either_code() -> None:
    rows, problems = parse_mapping(
        'code,name,unit,loinc\n# ours\n\nK   B ,"Kalium, serum", mmol/l ,2823-3\nXYZ,Eigen,,\n', "x"
    )
    assert problems == []
    assert [(row.code, row.name, row.unit, row.loinc) for row in rows] == [
        ("K   B", "Kalium, serum", "mmol/l", "2823-3"),
        ("XYZ", "Eigen", "", ""),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("K   B,Kalium,mmol/l", "expected 4 fields, code,name,unit,loinc; found 3"),
        (",Kalium,mmol/l,2823-3", "code must have 1 to 10 characters"),
        ("K   B,Kalium,mmol/l,2823", "loinc must be like 2823-3, not '2823'"),
        ("K   B,Kalium,mmol/l,2823-4", "loinc must be like 2823-3, not '2823-4'"),
    ],
)
def test_a_mistake_has_its_line(line: str, said: str) -> None:
    (found,) = mistakes(f"code,name,unit,loinc\n{line}\n")
    assert found.startswith(f"codes.csv:2: {said}")


def test_a_test_stands_once_for_each_unit() -> None:
    assert mistakes("K,a,mmol/l,2823-3\nK,a,mg/l,\nK,b,mmol/l,\n") == [
        "codes.csv:3: this code and unit stand in line 1 already; keep one of the lines"
    ]


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("a,b\nc,d\n")
    with pytest.raises(ConfigurationError) as raised:
        read_mapping(path)
    assert len(raised.value.problems) == 2
    path.write_bytes(b"\xff\xfe,")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_mapping(path)
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_mapping(tmp_path / "none.csv")


def test_the_table_that_we_ship_is_right() -> None:
    table = read_mapping(Path(__file__).parents[2] / "config" / "edi-codes.csv")
    assert [row.loinc for row in table.by_code("KREAB")] == ["14682-9"]
    assert [row.code for row in table.by_loinc("2823-3")] == ["K   B"]
