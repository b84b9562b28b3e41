"""``relayd records --check``: does DNS show what should be published?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from relayd.authenticity import dmarc_record, spf_record
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid

#: What an operator completes or changes: any sound record of the kind will do.
_OWN_WORDS: Final = ("v=spf1", "v=DMARC1")


class Standing(StrEnum):
    """THERE: as it should be, or in the operator's own words. OTHER: one of its kind that says something else."""

    THERE = "there"
    OTHER = "other"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Wanted(Protocol):
    """A record that should be there."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What DNS has of one record. ``text`` is what stands there instead, or what kept it from being asked."""

    state: Standing
    text: str = ""


async def look(resolver: Resolver, wanted: Iterable[Wanted]) -> list[Shown]:
    """Ask for all of them."""
    return list(await asyncio.gather(*(_one(resolver, each) for each in wanted)))


async def _one(resolver: Resolver, wanted: Wanted) -> Shown:
    found = await resolver.look_up(wanted.name, wanted.type)
    if not found.answer.certain:
        return Shown(Standing.UNKNOWN, f"looking it up ended in {found.answer}")
    if wanted.type == "MX":
        hosts = [record.host for record in found.values]
        ours = wanted.text.split()[1].rstrip(".")
        return Shown(Standing.THERE) if ours in hosts else _instead(hosts)
    if wanted.type == "TXT":
        kind = re.split(r"[;\s]", wanted.text, maxsplit=1)[0]
        texts = [value.decode("utf-8", "replace") for value in found.values]
        alike = [text for text in texts if re.split(r"[;\s]", text, maxsplit=1)[0] == kind]
        if kind in _OWN_WORDS and (broken := _broken(wanted.name, alike)):
            return Shown(Standing.OTHER, broken)
        if wanted.text in alike or (alike and kind in _OWN_WORDS):
            return Shown(Standing.THERE, "" if wanted.text in alike else f"in other words: {alike[0]}")
        return _instead(alike)
    texts = [str(value) for value in found.values]
    return Shown(Standing.THERE) if wanted.text in texts else _instead(texts)


def _broken(name: str, texts: list[str]) -> str:
    """Why an SPF or DMARC record in the operator's own words is none, or not all of one; "" when it is fine."""
    if len(texts) > 1:
        return f"{len(texts)} records, which together count as none: {', '.join(texts)}"
    for text in texts:
        if text.startswith("v=spf1"):
            try:
                spf_record.parse_record(text.encode())
            except SyntaxInvalid as error:
                return f"broken ({error}): {text}"
        elif name.startswith("_dmarc."):
            problems = dmarc_record.parse_record(text.encode()).problems
            if problems:
                return f"broken ({'; '.join(problems)}): {text}"
    return ""


def _instead(others: list[str]) -> Shown:
    return Shown(Standing.OTHER, ", ".join(others)) if others else Shown(Standing.MISSING)
