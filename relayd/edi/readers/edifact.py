"""EDIFACT in any of the forms that Dutch healthcare sends it: octets in, a :class:`Reading` out.

The family of a message is found by its whole identifier (type, version, association code), never by its type alone:
MEDSPE is a message of version 1 and another one of version 3. A type that nobody knows is read as one of version 1
where it has that family's segments, and as it stands otherwise.
"""

from __future__ import annotations

from relayd.edi import charset as charsets
from relayd.edi.charset import text
from relayd.edi.detect import sniff
from relayd.edi.edifact import Interchange, Message, Outside, Segment, parse
from relayd.edi.model import Document, Finding, Format, Kind, Place, Reading, Results, Severity, Text, Unread
from relayd.edi.names import KINDS, Dialect, Says
from relayd.edi.readers import csiz, edifact_check, generic, medrpt, version1
from relayd.edi.readers.taking import Context, Draft, iso_digits, joined, lines, time_apart, unread

#: The year that two digits are read near to where no interchange says when it was made.
_NO_YEAR = 2030


def read(data: bytes, charset: str = "") -> Reading:
    """All messages of ``data``. ``charset`` is what the mail declares, if anything. Never raises."""
    return _read(data, charset, strict=False)


def check(data: bytes, charset: str = "") -> list[Finding]:
    """Everything that isn't as the standard and the message's specification want it, in the order of the file."""
    reading = _read(data, charset, strict=True)
    found = [*reading.findings, *(finding for document in reading.documents for finding in document.findings)]
    return sorted(found, key=lambda finding: (finding.place.segment, finding.place.line))


def _read(data: bytes, declared: str, *, strict: bool) -> Reading:
    data, unusual = charsets.out_of_utf_16(data)
    charset, odd = charsets.find(data, declared)
    transmission = parse(data, charset)
    findings, documents, envelope = [*unusual, *odd], [], []  # type: list[Finding], list[Document], list[Unread]
    for interchange in transmission.interchanges:
        findings.extend(edifact_check.interchange(interchange))
        context = _context(interchange)
        envelope.extend(unread(segment, Dialect.UN) for segment in interchange.envelope)
        for message in interchange.messages():
            document, technical = _document(message, context, strict=strict)
            documents.append(document)
            envelope.extend(technical)
    if not documents:
        findings.append(Finding(Severity.ERROR, Says.NOTHING))
    outside = tuple(_outside(part, charset) for part in transmission.outside)
    for part, shown in zip(transmission.outside, outside, strict=True):
        findings.append(Finding(Severity.NOTE, Says.OUTSIDE, shown.place))
        if sniff(part.octets) is Format.HL7:
            findings.append(Finding(Severity.ERROR, Says.OTHER_MESSAGE, shown.place))
    return Reading(
        Format.EDIFACT,
        tuple(documents),
        charset,
        tuple(findings),
        outside,
        tuple(envelope),
    )


def _context(interchange: Interchange) -> Context:
    unb = interchange.header
    if unb is None:
        return Context(_NO_YEAR, "", "", "", False)
    date, time = unb.get(4, 1).strip(), unb.get(4, 2).strip()
    if time_apart(unb):
        time = unb.get(5)
    prepared = iso_digits(date + time, _NO_YEAR) or iso_digits(date, _NO_YEAR)
    year = int(prepared[:4]) if prepared else _NO_YEAR
    sender, receiver = (unb.get(at).strip() for at in (2, 3))
    return Context(year, prepared, sender, receiver, unb.get(11).strip() == "1")


def _document(message: Message, context: Context, *, strict: bool) -> tuple[Document, list[Unread]]:
    head, tail = message.head, message.tail
    kind, version = identity(head)
    draft, dialect = _draft(kind, version, message.body, context)
    first, last = message.segments[0], message.segments[-1]
    findings = list(edifact_check.message(message))
    if strict:
        findings = [*findings, *edifact_check.strictly(message, kind, version, dialect, context.year)]
    document = Document(
        Format.EDIFACT,
        _kind(kind, draft),
        kind,
        version,
        head.get(1).strip() if head else "",
        joined(head.elements[2]) if head and len(head.elements) > 2 else "",
        draft.dated or context.prepared,
        context.sender,
        context.receiver,
        tuple(draft.parties),
        draft.patient,
        tuple(draft.blocks),
        test=context.test,
        findings=tuple(findings),
        start=first.start,
        end=last.end,
    )
    technical = [unread(segment, Dialect.UN) for segment in (head, tail) if segment]
    return document, [*technical, *draft.technical]


def identity(head: Segment | None) -> tuple[str, str]:
    """The type of a message, and its version with all that follows: ("MEDRPT", "D:93A:UN:MRPN32")."""
    if head is None or len(head.elements) < 2:
        return "", ""
    kind, *version = (component.strip() for component in head.elements[1])
    return kind.upper(), joined(version)


def _draft(kind: str, version: str, body: list[Segment], context: Context) -> tuple[Draft, Dialect]:
    parts = version.split(":")
    if kind in KINDS and parts[0] == "3":
        return csiz.read(body, context), Dialect.UN
    if kind == "MEDRPT":
        return medrpt.read(body, context), Dialect.UN
    tags = {segment.tag for segment in body}
    if kind in KINDS or tags & version1.OWN_TAGS:
        return version1.read(kind or _likely(tags), body, context), Dialect.VERSION_1
    return generic.read(body), Dialect.UN


def _likely(tags: set[str]) -> str:
    """The type of a message whose UNH is lost, by its segments."""
    return "MEDLAB" if "BEP" in tags else "MEDRAD" if "VRS" in tags else "MEDSPE" if "SPE" in tags else "MEDVRI"


def _kind(kind: str, draft: Draft) -> Kind:
    if kind == "MEDRPT" and not any(isinstance(block, Results) for block in draft.blocks):
        return Kind.LETTER
    return KINDS.get(kind, Kind.UNKNOWN)


def _outside(part: Outside, charset: str) -> Text:
    written = lines(text(part.octets.removeprefix(charsets.BOM), charset).strip("\0\x1a"))
    blank = next((at for at, written_line in enumerate(written) if written_line.strip()), 0)
    while len(written) > blank + 1 and not written[-1]:
        written.pop()
    return Text(tuple(written[blank:]), place=Place(part.line + blank))
