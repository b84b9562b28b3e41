"""The header section as a value (RFC 5322 §2.2): raw fields in their order, decoded only when asked.

Nothing in here raises for what a sender wrote. What is wrong is named in ``defects``:

=====================  ===============================================================================
starts-with-fold       the first line begins with white space: it continues nothing
field-without-name     a line without a colon, or with something else than a field name before it
space-before-colon     "From : x", which some programs read as From and others not (RFC 5322 §4.5)
not-utf8               octets beyond ASCII that aren't UTF-8 (RFC 6532 §3.2)
nul, bare-cr, bare-lf  an octet that no field may hold (RFC 5322 §2.2, RFC 5321 §2.3.8)
long-line              a line of more than 998 octets (RFC 5322 §2.1.1)
repeated:NAME          a field that RFC 5322 §3.6 allows once stands there more often
=====================  ===============================================================================
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from relayd.mail.address import Address
from relayd.mail.address_list import parse_address_list
from relayd.mail.words import decode_words

#: A field ends at a line end that no white space follows. Bare LF counts too: split like the laxest reader would.
_FIELD_END = re.compile(rb"\n(?![ \t])")
_NAME = re.compile(rb"([!-9;-~]+)([ \t]*):")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LONG_LINE = re.compile(rb"[^\n]{1000}")

_ONCE: Final = (
    "from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "in-reply-to", "references", "subject",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
)  # fmt: skip

NOT_UTF8: Final = "not-utf8"
CONTROL: Final = "control-character"
TOO_LONG: Final = "too-long"
#: Octets of an address field that are read: a quarter of a megabyte of From would keep everybody waiting.
_MOST_ADDRESSES: Final = 16 * 1024


class Field(msgspec.Struct, frozen=True):
    """One header field. ``name`` is in lower case, "" for a line that is no field. ``raw`` has name, folding and line
    end. ``number`` counts from 0 and is what HeaderPatch.drop names."""

    name: str
    raw: bytes
    number: int

    @property
    def value(self) -> bytes:
        """What stands after the colon, unfolded (RFC 5322 §2.2.3) and without white space around it."""
        return _FOLD.sub(b"", self.raw).partition(b":")[2].strip()


def split_fields(head: bytes) -> list[bytes]:
    """The raw fields; joined together they are ``head`` again, octet for octet."""
    pieces: list[bytes] = []
    start = 0
    for match in _FIELD_END.finditer(head):
        end = match.end()
        pieces.append(head[start:end])
        start = end
    if start < len(head):
        pieces.append(head[start:])
    return pieces


class Headers:
    """One header section: all that stands before the empty line."""

    __slots__ = ("_by_name", "_defects", "_read", "fields", "head")

    def __init__(self, head: bytes) -> None:
        self.head = head
        fields: list[Field] = []
        by_name: dict[str, list[Field]] = {}
        for number, raw in enumerate(split_fields(head)):
            match = _NAME.match(raw)
            name = match[1].decode("ascii").lower() if match else ""
            field = Field(name, raw, number)
            fields.append(field)
            by_name.setdefault(name, []).append(field)
        self.fields: Final = tuple(fields)
        self._by_name = by_name
        self._defects: tuple[str, ...] | None = None
        self._read: dict[str, list[tuple[list[Address], list[str]]]] = {}

    @property
    def size(self) -> int:
        return len(self.head)

    def all(self, name: str) -> list[Field]:
        """All fields of that name (in lower case), top to bottom."""
        return self._by_name.get(name, [])

    def first(self, name: str) -> Field | None:
        fields = self._by_name.get(name)
        return fields[0] if fields else None

    def text(self, name: str) -> str:
        """The first field of that name, unfolded and with encoded words decoded; "" when there is none."""
        field = self.first(name)
        return decode_words(_decode(field.value)) if field else ""

    def addresses(self, name: str) -> list[Address]:
        """The addresses of all fields of that name. Only what can be read in one way: see address_defects."""
        return [address for read, _ in self._lists(name) for address in read]

    def address_defects(self, name: str) -> list[str]:
        """What is wrong in the fields of that name. While this isn't empty, ``addresses`` may not be all there is."""
        lists = self._lists(name)
        defects = [defect for _, found in lists for defect in found]
        if len(lists) > 1 and name in _ONCE:
            defects.append(f"repeated:{name}")
        if any(defect in ("space-before-colon", "starts-with-fold") for defect in self.defects):
            defects += [defect for defect in self.defects if defect in ("space-before-colon", "starts-with-fold")]
        return defects

    def _lists(self, name: str) -> list[tuple[list[Address], list[str]]]:
        """Each field's addresses and defects, read once: several policies ask."""
        if name not in self._read:
            self._read[name] = [_read(field) for field in self.all(name)]
        return self._read[name]

    @property
    def defects(self) -> tuple[str, ...]:
        if self._defects is None:
            self._defects = tuple(self._find_defects())
        return self._defects

    def _find_defects(self) -> list[str]:
        head = self.head
        found = []
        if head[:1] in (b" ", b"\t"):
            found.append("starts-with-fold")
        if "" in self._by_name:
            found.append("field-without-name")
        if any(match[2] for field in self.fields if (match := _NAME.match(field.raw))):
            found.append("space-before-colon")
        if not head.isascii() and not _is_utf8(head):
            found.append(NOT_UTF8)
        if b"\0" in head:
            found.append("nul")
        if _BARE_CR.search(head):
            found.append("bare-cr")
        if _BARE_LF.search(head):
            found.append("bare-lf")
        if _LONG_LINE.search(head):
            found.append("long-line")
        found += [f"repeated:{name}" for name in _ONCE if len(self._by_name.get(name, ())) > 1]
        return found


def _read(field: Field) -> tuple[list[Address], list[str]]:
    value = field.value
    if len(value) > _MOST_ADDRESSES:
        return [], [TOO_LONG]
    defects = []
    if not _is_utf8(value):
        defects.append(NOT_UTF8)
    if _CONTROLS.search(value):
        defects.append(CONTROL)
    if defects:
        return [], defects
    return parse_address_list(value.decode("utf-8"))


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_utf8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
