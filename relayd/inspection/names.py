"""File names as an operating system would act on them, whatever the sender made them look like."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Suffixes of one compressed file: the name before them says what comes out.
COMPRESSED: Final = frozenset({"gz", "bz2", "xz", "z"})

#: Suffixes of what holds several files.
ARCHIVES: Final = frozenset({"zip", "tar", "tgz", "taz", "tbz", "tbz2", "txz", "7z", "rar", "cab"}) | COMPRESSED

#: Archives that nothing here can open.
UNREADABLE: Final = frozenset(
    {"ace", "alz", "arc", "arj", "lha", "lz", "lz4", "lzh", "lzma", "wim", "zoo", "zpaq", "zst"}
)

#: Bidirectional controls: they show "exe.pdf" where the name ends in "fdp.exe".
_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: What doesn't show: the categories Cc, Cf, Zl and Zp. As one pattern, since a sender can send very many names.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
#: Trailing characters that Windows drops, and those that it can't store and programs therefore leave out.
_DROPPED: Final = ". \u00a0\u3000\"'`<>|?*"
_PADDED: Final = re.compile(r"\.([^.\s]{1,16})\s+\.")


def turns_around(name: str) -> bool:
    """True when the name holds characters that make it read in another order."""
    return _DIRECTION.search(name) is not None


def extensions(name: str) -> frozenset[str]:
    """Every extension that a system may act on: lower case, without the dot.

    * The last one, after case folding, NFKC, and without control and format characters or trailing dots and spaces,
      which Windows drops. ``invoice.pdf.exe`` is "exe", ``setup.exe.txt`` is "txt": that opens as text.
    * The last one before a NUL (programs in C stop there) and before a colon (NTFS streams).
    * Before the suffix of a compressed file, the one of the file in it: ``x.exe.gz``.
    * One that is padded with white space to push the rest out of sight: ``x.exe      .txt``.
    """
    found: set[str] = set()
    for variant in {name, name.split("\0")[0]}:
        base = re.split(r"[/\\]", unicodedata.normalize("NFKC", variant).casefold())[-1]
        found.update(_PADDED.findall(base))
        for stem in {base, base.split(":")[0]}:
            found.update(_last(_clean(stem)))
    return frozenset(found)


def _clean(name: str) -> str:
    """Without what doesn't show, and without what is dropped at the end."""
    return _INVISIBLE.sub("", name).rstrip(_DROPPED)


def _last(name: str) -> set[str]:
    stem, dot, last = name.rpartition(".")
    if not dot:
        return set()
    last = last.strip()
    return {last} | _last(stem.rstrip(". ")) if last in COMPRESSED else {last}
