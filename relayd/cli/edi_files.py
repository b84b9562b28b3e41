"""What the commands of ``relayd edi`` share: the messages in a file, and findings as lines and JSON."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from relayd.edi.detect import Leaf, leaves, sniff
from relayd.edi.model import Finding
from relayd.edi.words import Words
from relayd.errors import RelaydError
from relayd.mail.mime_header import is_header

#: Larger files aren't what this is for, and would be in memory several times.
_MOST: Final = 64 * 2**20


def edi_in(name: str, part: int | None) -> list[Leaf]:
    """The EDI in a file, "-" for standard input: the file itself, or what is in it if it is a mail. ``part`` is which
    one, from 1; None is all.

    Raises :class:`RelaydError` where there is none.
    """
    found = find(name, octets(name), part)
    if not found:
        raise RelaydError(f"there is no EDI in {name}")
    return found


def find(name: str, data: bytes, part: int | None) -> list[Leaf]:
    """The EDI in the octets of a file; none where there is none."""
    format = sniff(data)
    found: list[Leaf] = []
    if format is None or is_header(data):
        found = list(leaves(data))
    if not found and format:
        found = [Leaf("", format, Path(name).name if name != "-" else "", "", "", data)]
    if part is not None and found:
        if not 0 < part <= len(found):
            raise RelaydError(f"{name} has {len(found)} EDI messages")
        found = [found[part - 1]]
    return found


def octets(name: str) -> bytes:
    """A file's octets, up to 64 MiB."""
    try:
        with open(name, "rb") if name != "-" else os.fdopen(os.dup(sys.stdin.fileno()), "rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise RelaydError(f"{name} can't be read: {error.strerror}") from error
    if len(data) > _MOST:
        raise RelaydError(f"{name} is larger than {_MOST // 2**20} MiB")
    return data


def write(output: Path, data: bytes) -> None:
    """Write a result to the file that the caller named."""
    try:
        output.write_bytes(data)
    except OSError as error:
        raise RelaydError(f"{output} can't be written: {error.strerror}") from error


def finding_line(finding: Finding, words: Words) -> str:
    """A finding with its place."""
    place = words.place(finding.place)
    return f"{f'{place}: ' if place else ''}{words(finding.severity.value)}: {words.finding(finding)}"


def finding_json(finding: Finding, words: Words) -> dict[str, Any]:
    """A finding for scripts."""
    where = finding.place
    return {
        "severity": finding.severity.value,
        "text": words.finding(finding),
        "line": where.line or None,
        "segment": where.segment or None,
        "tag": where.tag,
        "element": where.element,
    }
