"""Finding EDI by its content: what a sender calls a part, or its file, says too little.

A file is EDI when it begins so, or when a line of it begins so unmistakably: some gateways put a few words or the
frame of a protocol in front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relayd.edi.charset import out_of_utf_16
from relayd.edi.edifact_xml import ROOTS
from relayd.edi.model import Format
from relayd.mail.decode import decoder
from relayd.mail.mime import MimeScanner

_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SPACE: Final = b" \t\r\n\x00\x0b\x1c"
_EDIFACT = re.compile(rb"UNA[^\w\s].{2,8}?\s*UN[BGH]|UN[BH](?::[0-9:]+)?[^\w\s]", re.DOTALL)
#: MSH and the headers of files and batches, each with four or five separators of which the first comes back.
_HL7 = re.compile(rb"(?:MSH|FHS|BHS)([^\w\s])[^\w\s]{1,5}\1")
_LATER = re.compile(
    rb"(?:\A|[\r\n\x0b])[ \t]*(?:(UNA[^\w\s].{2,5}\s{0,2}UNB|UNB[^\w\s]UN[A-Z]{2}[^\w\s][0-9]|"
    rb"UNH[^\w\s][^\r\n]{1,40}?[^\w\s]MED[A-Z]{3}[^\w\s])|MSH([^\w\s])[^\w\s]{4,5}\2)"
)
#: Only so far a beginning is looked for.
_FAR: Final = 64 * 1024

_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?=[\s/>])[^>]*")
_V2: Final = b"urn:hl7-org:v2xml"
#: Root elements of what is XML by accident of its format: pages and pictures.
_NO_EDI: Final = frozenset({"html", "svg"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """EDI in a mail. ``path`` is its part ("1.2"), ``name`` the part's file name or "", ``charset`` what the part
    says it is written in or ""; ``data`` is decoded from its transfer encoding."""

    path: str
    format: Format
    name: str
    media_type: str
    charset: str
    data: bytes


def sniff(data: bytes) -> Format | None:
    """The format of ``data``; None when it is no EDI."""
    if data[:2] in _BOMS:
        head = out_of_utf_16(data[:_FAR])[0]
        return _xml(data) if head.lstrip(_SPACE).startswith(b"<") else sniff(head.removeprefix(_BOMS[0]))
    start = _beginning(data)
    if _EDIFACT.match(data, start):
        return Format.EDIFACT
    if _HL7.match(data, start):
        return Format.HL7
    if data[start : start + 1] == b"<":
        return _xml(data)
    if later := _LATER.search(data, 0, _FAR):
        return Format.EDIFACT if later[1] else Format.HL7
    return None


def _beginning(data: bytes) -> int:
    start = 3 if data.startswith(_BOMS[0]) else 0
    while start < min(len(data), _FAR) and data[start] in _SPACE:
        start += 1
    return start


def _xml(data: bytes) -> Format | None:
    """Markup in a mail's text isn't XML: that has a declaration, or ends with the element that it began with."""
    head = data[:_FAR]
    if head[:2] in _BOMS:
        head = head.decode("utf-16", "replace").encode()
    head = head.removeprefix(_BOMS[0]).lstrip(_SPACE)
    root = _root(head)
    if not head.startswith(b"<") or not root or (name := root[1].decode()).lower() in _NO_EDI:
        return None
    if name in ROOTS:
        return Format.EDI_XML
    if _V2 in root[0]:
        return Format.V2_XML
    if head.startswith(b"<?xml") or data.rstrip(_SPACE).endswith((b"/" + root[1] + b">", b":" + root[1] + b">")):
        return Format.XML
    return None


def _root(head: bytes) -> re.Match[bytes] | None:
    """The first element, behind declaration, comments and document type."""
    position = 0
    while (position := head.find(b"<", position)) >= 0:
        if head.startswith(b"<!--", position):
            end = head.find(b"-->", position)
        elif head.startswith((b"<?", b"<!"), position):
            end = head.find(b">", position)
            subset = head.find(b"[", position, end)
            if head.startswith(b"<!", position) and subset >= 0:
                end = head.find(b"]", subset)
        else:
            return _ROOT.match(head, position)
        if end < 0:
            return None
        position = end
    return None


def leaves(mail: bytes) -> tuple[Leaf, ...]:
    """Every part of ``mail`` that is EDI, in their order; parts of attached mails too."""
    scanner = MimeScanner()
    scanner.feed(mail)
    found = []
    for part in scanner.finish():
        if part.is_container or part.type == "text/html":
            continue
        decoding = decoder(part)
        data = decoding.feed(mail[part.offset : part.offset + part.length]) + decoding.finish()
        if format := sniff(data):
            name = part.names[0] if part.names else ""
            found.append(Leaf(part.path, format, name, part.type, part.charset, data))
    return tuple(found)
