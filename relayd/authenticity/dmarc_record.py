"""DMARC policy records as values (RFC 9989 §4.7, §4.8). Pure: TXT records in, what they ask for out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relayd.authenticity.results import Disposition

#: Octets of a record that are read. Honest ones have a few hundred.
MOST_OCTETS: Final = 8192

_VERSION: Final = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_NAME: Final = re.compile(r"[A-Za-z]+")
_VALUE: Final = re.compile(r"[ -:<-~]*")
#: A reporting URI (RFC 9989 §4.8), with the size limit that older records put behind it.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,!]+(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_CHOICES: Final = {
    "p": ("none", "quarantine", "reject"),
    "sp": ("none", "quarantine", "reject"),
    "np": ("none", "quarantine", "reject"),
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
}
_OTHER_TAGS: Final = frozenset({"v", "rua", "ruf", "fo"})
_POLICIES: Final = ("p", "sp", "np")
_LOWER: Final = {
    Disposition.REJECT: Disposition.QUARANTINE,
    Disposition.QUARANTINE: Disposition.NONE,
    Disposition.NONE: Disposition.NONE,
}


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """One record. ``tags`` are its known tags as read, values in lower case where they are words; ``problems`` say what
    was left out of account. ``applies`` is False for a record that asks for no DMARC at all (RFC 9989 §4.10.1)."""

    tags: tuple[tuple[str, str], ...]
    problems: tuple[str, ...] = ()
    applies: bool = True

    def tag(self, name: str, default: str = "") -> str:
        return dict(self.tags).get(name, default)

    @property
    def psd(self) -> str:
        return self.tag("psd", "u")

    @property
    def testing(self) -> bool:
        return self.tag("t", "n") == "y"

    def strict(self, tag: str) -> bool:
        """Whether ``adkim`` or ``aspf`` asks for equal domains."""
        return self.tag(tag, "r") == "s"

    def policy(self, *, subdomain: bool, exists: bool = True) -> Disposition:
        """What it asks for when a message of the domain itself, or of one below, fails. In test mode that is one step
        less (RFC 9989 §4.7)."""
        asked = self.tag("p", "none")
        if subdomain:
            asked = self.tag("sp", asked)
            if not exists:
                asked = self.tag("np", asked)
        disposition = Disposition(asked)
        return _LOWER[disposition] if self.testing else disposition


def select(texts: Iterable[bytes]) -> list[bytes]:
    """Those of a name's TXT records that are DMARC records."""
    return [text for text in texts if _VERSION.match(text)]


def parse_record(text: bytes) -> DmarcRecord:
    """The record in ``text``, which begins with its version. What is wrong in it is left out (RFC 9989 §4.8)."""
    tags: dict[str, str] = {}
    problems: list[str] = []
    if len(text) > MOST_OCTETS:
        problems.append(f"only its first {MOST_OCTETS} octets were read")
    for number, part in enumerate(text[:MOST_OCTETS].split(b";"), 1):
        if not part.strip():
            continue
        # One pattern for all of it would go over a run of spaces three times at once, which takes a stranger minutes.
        name, mark, value = (one.strip(" \t") for one in part.decode("latin-1").partition("="))
        if not mark or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            problems.append(f"part {number} is no tag=value")
            continue
        if problem := _take(name.lower(), value, tags):
            problems.append(problem)
    # RFC 9989 §4.10.1: with a policy that can't be read, what remains is the wish for reports.
    if not all(tags.get(tag, "none") in _CHOICES[tag] for tag in _POLICIES) or "p" not in tags:
        problems.append("without a valid p=, sp= or np= it counts as p=none, and only with a rua=")
        for tag in _POLICIES:
            tags.pop(tag, None)
        tags["p"] = "none"
        return DmarcRecord(tuple(tags.items()), tuple(problems), _wants_reports(tags.get("rua", "")))
    return DmarcRecord(tuple(tags.items()), tuple(problems))


def _wants_reports(rua: str) -> bool:
    return any(_URI.fullmatch(one.strip()) for one in rua.split(","))


def _take(tag: str, value: str, tags: dict[str, str]) -> str:
    """Puts one tag among ``tags``; returns what is wrong with it, "" when nothing is. The first of a kind counts."""
    if tag in tags:
        return f"{tag}= stands there twice"
    if tag in _OTHER_TAGS:
        tags[tag] = value
        return ""
    if tag not in _CHOICES:
        return f"{tag}= is no tag of DMARC"
    value = value.lower()
    if value in _CHOICES[tag]:
        tags[tag] = value
        return ""
    if tag in _POLICIES:
        tags[tag] = value  # counts against the whole record
    return f"{tag}= has an unknown value"
