"""docs/rfc-status.md against the code: what a comment cites has a row, what a row lists is cited.

A citation is `RFC 5321 §4.5.3.2`, `RFC 5321 App. C` or `RFC 2047`; several sections may follow, with commas between.
``--write`` brings the sections up to date and keeps titles, status and notes.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "rfc-status.md"
CODE = ("relayd", "policies", "viewer_web")
_SECTION = r"(?:§|App\.\s?|Appendix )[0-9A-Z][0-9A-Za-z.]*"
_CITATION = re.compile(rf"RFC (\d{{3,5}})((?:(?:,|,? and|/)?\s{{0,1}}{_SECTION})*)")
_ONE_SECTION = re.compile(_SECTION)


@dataclass
class Row:
    """One line of the table."""

    number: int
    title: str = "?"
    sections: set[str] = field(default_factory=set)
    status: str = "?"
    note: str = ""

    def __str__(self) -> str:
        listed = ", ".join(sorted(self.sections, key=_order))
        return f"| RFC {self.number} | {self.title} | {listed} | {self.status} | {self.note} |"


def _order(section: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (10**6, part) for part in section.lstrip("§").split(".")]


def _section(text: str) -> str:
    return re.sub(r"(?:App\.\s?|Appendix )", "App. ", text).rstrip(".")


def citations(text: str) -> dict[int, set[str]]:
    """RFC number → sections named with it. A comment's line break may stand inside a citation."""
    joined = re.sub(r"\n\s*#?\s*", " ", text)
    found: dict[int, set[str]] = {}
    for match in _CITATION.finditer(joined):
        sections = found.setdefault(int(match[1]), set())
        sections |= {_section(one) for one in _ONE_SECTION.findall(match[2])}
    return found


def cited() -> dict[int, set[str]]:
    """All citations of the product's code."""
    found: dict[int, set[str]] = {}
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, sections in citations(path.read_text("utf-8")).items():
                found.setdefault(number, set()).update(sections)
    return found


def read_table(text: str) -> dict[int, Row]:
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and (match := re.fullmatch(r"RFC (\d+)", cells[0])):
            sections = {part.strip() for part in cells[2].split(",") if part.strip()}
            rows[int(match[1])] = Row(int(match[1]), cells[1], sections, cells[3], cells[4])
    return rows


def problems(rows: dict[int, Row], found: dict[int, set[str]]) -> list[str]:
    said = []
    for number, sections in sorted(found.items()):
        if number not in rows:
            said.append(f"RFC {number} is cited in the code but has no row")
            continue
        row = rows[number]
        said += [
            f"RFC {number} {section} is cited in the code but not listed" for section in sorted(sections - row.sections)
        ]
        said += [f"RFC {number} {section} is listed but nowhere cited" for section in sorted(row.sections - sections)]
        if "?" in (row.title, row.status):
            said.append(f"RFC {number} needs a title and a status")
    said += [f"RFC {number} has a row but is nowhere cited" for number in sorted(rows.keys() - found.keys())]
    return said


def write(rows: dict[int, Row], found: dict[int, set[str]]) -> None:
    text = TABLE.read_text("utf-8")
    before = text.partition("| RFC")[0]
    heading = "| RFC | title | sections | status | note |\n|---|---|---|---|---|\n"
    for number, sections in found.items():
        rows.setdefault(number, Row(number)).sections = sections
    lines = "\n".join(str(rows[number]) for number in sorted(found))
    TABLE.write_text(f"{before}{heading}{lines}\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="bring the table's sections up to date")
    arguments = parser.parse_args()
    found = cited()
    if arguments.write:
        write(read_table(TABLE.read_text("utf-8")), found)
    said = problems(read_table(TABLE.read_text("utf-8")), found)
    for line in said:
        print(f"docs/rfc-status.md: {line}", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
