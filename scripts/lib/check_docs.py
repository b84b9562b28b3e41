"""Documentation that holds: links lead somewhere, every policy has its page, and nothing names what it mustn't."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Pages in docs/policies/ that aren't a policy's.
_OTHER_PAGES = {"README", "writing", "writing-your-own", "index"}
# Written in pieces, since this file is checked too: another product's name, and package indexes.
_FORBIDDEN = ("zorg" + "mail", "pypi" + ".org", "python" + "hosted.org", "index" + "-url", "extra-" + "index")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    if listed:
        return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]
    skipped = {".venv", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


def anchors(text: str) -> set[str]:
    """The names that headings get on the usual code hosts."""
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def missing_proofs(files: list[Path]) -> Iterator[str]:
    """Tests that a page names as proof, and that don't exist."""
    for path in files:
        if path.suffix != ".md":
            continue
        for name, test in _PROOF.findall(path.read_text("utf-8")):
            file = ROOT / name
            if not file.is_file() or not re.search(rf"def {test}\b", file.read_text("utf-8")):
                yield f"{path.relative_to(ROOT)}: there is no test {name}::{test}"


def broken_links(files: list[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix != ".md":
            continue
        for target in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = unquote(target).partition("#")
            linked = (path.parent / name).resolve() if name else path
            if not linked.exists():
                yield f"{path.relative_to(ROOT)}: {target} leads nowhere"
            elif anchor and linked.suffix == ".md" and anchor not in anchors(linked.read_text("utf-8")):
                yield f"{path.relative_to(ROOT)}: {target}: no such heading"


def policies_without_page() -> Iterator[str]:
    pages = {path.stem for path in (ROOT / "docs" / "policies").glob("*.md")}
    policies = {path.stem for path in (ROOT / "policies").glob("*.py") if not path.stem.startswith("_")}
    yield from (f"policies/{name}.py has no docs/policies/{name}.md" for name in sorted(policies - pages))
    for name in sorted(pages - policies - _OTHER_PAGES):
        yield f"docs/policies/{name}.md describes no policy"


def forbidden(files: list[Path]) -> Iterator[str]:
    for path in files:
        try:
            text = path.read_text("utf-8").lower()
        except UnicodeDecodeError:
            continue
        yield from (f"{path.relative_to(ROOT)}: must not say {word!r}" for word in _FORBIDDEN if word in text)


def main() -> int:
    files = tracked()
    said = [*broken_links(files), *missing_proofs(files), *policies_without_page(), *forbidden(files)]
    for line in said:
        print(line, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
