"""Lines that a sender broke at the length of a field, back to paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

from relayd.edi.view import Paragraph

#: A field of text holds 70 characters. A line that fills it may have been cut inside a word or a number, which
#: nobody can tell: it keeps its end.
_FULL: Final = 70
#: Shorter lines than this are a list or a signature, not a paragraph.
_NARROW: Final = 50
_ITEM = re.compile(r"\s|[-*•·+>]\s?|\d{1,3}[.)]\s|[A-Za-z][.)]\s")
_COLUMNS = re.compile(r"\S(?: {3,}|\t+)\S")


def paragraphs(lines: Sequence[str], *, flowing: bool) -> Iterator[Paragraph]:
    """The lines as they are to be shown, those of a table in letters of one width. Where the text is ``flowing``, a
    line is joined to the next one when that one's first word had no room on it, and nothing speaks for a break that
    is meant: an empty line, an item of a list, columns. Every line's text is kept, in its order."""
    width = max((len(line) for line in lines), default=0)
    for is_empty, group in groupby(lines, lambda line: not line.strip()):
        held = list(group)
        if not is_empty and sum(_COLUMNS.search(line) is not None for line in held) > 1:
            yield Paragraph("\n".join(held), True)
        elif flowing and not is_empty:
            yield from _joined(held, width)
        else:
            yield from map(Paragraph, held)


def _joined(lines: Sequence[str], width: int) -> Iterator[Paragraph]:
    said = [lines[0]]
    for before, line in pairwise(lines):
        if _goes_on(before, line, width):
            said.append(line)
        else:
            yield Paragraph(" ".join(said))
            said = [line]
    yield Paragraph(" ".join(said))


def _goes_on(before: str, line: str, width: int) -> bool:
    if width < _NARROW or len(before) >= _FULL or _ITEM.match(line) or before.endswith((":", " ")):
        return False
    if _COLUMNS.search(before) or _COLUMNS.search(line):
        return False
    return len(before) + 1 + len(line.split(maxsplit=1)[0]) > width
