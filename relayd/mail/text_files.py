"""Files within plain text: uuencode and yEnc, which some mail programs show as attachments.

Only lines that begin such a file and name it with an extension count: "begin 100 mg" is prose, and a file without an
extension is nothing that a system would run.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from typing import Final

#: One needle for both, shorter than six octets and without a line end: bytes.find is several times as fast with it.
_NEEDLE: Final = b"begin"
_UUENCODED: Final = re.compile(rb"begin(?:-base64)?[ \t]++0?[0-7]{3}[ \t]++.*\.[A-Za-z0-9_]{1,16}[\"' \t]*", re.DOTALL)
_YENC: Final = re.compile(rb"=ybegin .*name=.*\.[A-Za-z0-9_]{1,16}[\"' \t]*", re.DOTALL)
#: What a border may cut: the line end, the needle and what may stand between.
_BORDER: Final = len(b"\n=ybegin")
#: Longest line that is looked at. Larger blocks are searched without being copied.
_MOST_LINE: Final = 512
#: Lines that are looked at; a message with more that begin so is an attack on our time.
_MOST: Final = 10_000


class TextFiles:
    """Notes where such lines are, as content passes in blocks of any size; a line end must follow the last one."""

    def __init__(self) -> None:
        #: Offsets of the lines within the content, in no order.
        self.found: set[int] = set()
        self.gave_up = False
        self._looked_at = 0
        self._rest = b"\n"
        self._base = -1

    def feed(self, block: bytes) -> None:
        if len(block) > _MOST_LINE:
            self._search(self._rest + block[:_MOST_LINE], self._base)
            self._base += len(self._rest)
            self._rest = block
        else:
            self._rest += block
        keep = self._search(self._rest, self._base)
        self._rest = self._rest[keep:]
        self._base += keep

    def _search(self, data: bytes, base: int) -> int:
        """From where on ``data`` must be seen again, together with what follows."""
        at = -1
        while not self.gave_up and (at := data.find(_NEEDLE, at + 1)) >= 0:
            start = at - 2 if data[at - 2 : at] == b"=y" else at
            if start < 1 or data[start - 1] != 10:
                continue
            end = data.find(b"\n", at, start + _MOST_LINE)
            if end < 0 and len(data) < start + _MOST_LINE:
                return start - 1
            self._judge(data[start : end if end >= 0 else start + _MOST_LINE], base + start)
        return max(0, len(data) - _BORDER)

    def _judge(self, line: bytes, offset: int) -> None:
        """``line`` as it is and as quoted-printable would have it."""
        self._looked_at += 1
        self.gave_up = self._looked_at > _MOST
        line = line.rstrip(b"\r")
        if any(pattern.fullmatch(text) for text in (line, a2b_qp(line)) for pattern in (_UUENCODED, _YENC)):
            self.found.add(offset)
