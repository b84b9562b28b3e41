"""Parses files again and again with one library, and prints how long each took, as JSON: {file: seconds or null}.

Run by scripts/bench edi in each library's own environment. A file that the library can't read has null.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def _pydifact(data: bytes) -> object:
    from pydifact.segmentcollection import RawSegmentCollection

    parsed = list(RawSegmentCollection.from_str(data.decode("latin-1")).segments)
    if len(parsed) < 3:
        raise ValueError("nothing was read")
    return parsed


def _hl7(data: bytes) -> object:
    import hl7

    parsed = hl7.parse(data.decode("latin-1"))
    if len(parsed) < 2:
        raise ValueError("one segment was read")
    return parsed


def _hl7apy(data: bytes) -> object:
    from hl7apy.parser import parse_message

    return parse_message(data.decode("latin-1"), find_groups=False)


def _relayd(data: bytes) -> object:
    from relayd.edi.reading import read

    return read(data)


def _tokens(data: bytes) -> object:
    from relayd.edi import edifact, hl7

    if b"MSH" in data[:200]:
        return [[segment.fields for segment in message.segments] for message in hl7.split(data).messages]
    return [
        segment.elements
        for interchange in edifact.parse(data).interchanges
        for message in interchange.messages()
        for segment in message.segments
    ]


PARSERS: dict[str, Callable[[bytes], object]] = {
    "pydifact": _pydifact,
    "hl7": _hl7,
    "hl7apy": _hl7apy,
    "relayd": _relayd,
    "relayd, tokens": _tokens,
}


def seconds(parse: Callable[[bytes], object], data: bytes, budget: float) -> float | None:
    """The median of as many runs as fit the budget, at least three."""
    took: list[float] = []
    end = time.perf_counter() + budget
    while len(took) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        try:
            parse(data)
        except Exception:  # what a library raises for what it can't read is anything
            return None
        took.append(time.perf_counter() - started)
    return sorted(took)[len(took) // 2]


if __name__ == "__main__":
    library, budget, *files = sys.argv[1:]
    print(json.dumps({name: seconds(PARSERS[library], Path(name).read_bytes(), float(budget)) for name in files}))
