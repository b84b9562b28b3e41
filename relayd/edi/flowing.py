"""Lines that a sender broke at the length of a field, back to paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

#: A field of text holds 70 characters. A line that fills it may have been cut inside a word or a number, which
#: nobody can tell: it keeps its end.
_FULL: Final = 70
#: Shorter lines than this are a list or a signature, not a paragraph.
_NARROW: Final = 50
_ITEM = re.compile(r"\s|[-*•·+>]\s?|\d{1,3}[.)]\s|[A-Za-z][.)]\s")
_COLUMNS = re.compile(r"\S\s{2,}\S|\t")


def paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Join a line to the next one where the next one's first word had no room on it, and nothing speaks for a break
    that is meant: an empty line, an item of a list, columns. Every line's text is kept, in its order."""
    width = max((len(line) for line in lines), default=0)
    said: list[str] = []
    before = ""
    for line in lines:
        if said and _goes_on(before, line, width):
            said.append(line)
        else:
            if said:
                yield " ".join(said)
            said = [line]
        before = line
    if said:
        yield " ".join(said)


def _goes_on(before: str, line: str, width: int) -> bool:
    if not before.strip() or not line.strip() or width < _NARROW or len(before) >= _FULL or _ITEM.match(line):
        return False
    if before.endswith((":", " ")) or _COLUMNS.search(before) or _COLUMNS.search(line):
        return False
    return len(before) + 1 + len(line.split(maxsplit=1)[0]) > width


def has_columns(lines: Sequence[str]) -> bool:
    """Whether words stand below each other on purpose, so that letters of one width are needed."""
    return sum(_COLUMNS.search(line) is not None for line in lines) > 1
