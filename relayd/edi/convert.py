"""One form of a message to another, with a report of what was lost on the way.

Between a form and its XML nothing is lost: EDIFACT goes to XML and back octet for octet, HL7 with every field.
Between EDIFACT and HL7 the way leads through the model: laboratory results become ORU^R01 or MEDLAB:1, letters
MEDVRI:1. What was written is read again and compared with what came (:mod:`relayd.edi.losses`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relayd.edi import charset as charsets
from relayd.edi import edifact, edifact_xml, hl7, v2xml, xmltree
from relayd.edi.detect import sniff
from relayd.edi.losses import losses
from relayd.edi.mapping import Mapping
from relayd.edi.model import Document, Finding, Format, Kind, Reading, Severity, Text
from relayd.edi.readers import edifact as edifact_reader
from relayd.edi.readers import hl7 as hl7_reader
from relayd.edi.readers import xml as xml_reader
from relayd.edi.writers import medlab, medvri, oru
from relayd.edi.writers.envelope import Envelope
from relayd.errors import RelaydError

#: The forms that a message can be converted to.
TARGETS: Final = (Format.EDIFACT, Format.HL7, Format.EDI_XML, Format.V2_XML)
_FAMILIES: Final = {
    Format.EDIFACT: Format.EDIFACT,
    Format.EDI_XML: Format.EDIFACT,
    Format.HL7: Format.HL7,
    Format.V2_XML: Format.HL7,
}


class NoConversion(RelaydError):
    """There is no way from this message to that form. The text says why and quotes nothing of the message."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a message. ``losses`` is empty where nothing was lost; then the original needn't go along."""

    data: bytes
    format: Format
    losses: tuple[Finding, ...] = ()


def convert(
    data: bytes, to: Format, *, mapping: Mapping | None = None, charset: str = "", envelope: Envelope | None = None
) -> Converted:
    """``data`` in the form ``to``.

    ``charset`` is what its mail part declares; ``envelope`` is for a message that gets a new one. Text that is no EDI
    becomes a letter, MEDVRI:1.

    Raises :class:`NoConversion`.
    """
    if to not in TARGETS:
        raise NoConversion(f"nothing is converted to {to}")
    form, octets, inner_charset, found = _plain(data, charset)
    family = _FAMILIES[to]
    if form is family:
        converted = Converted(octets, family, found)
    else:
        written = _written(form, octets, family, mapping or Mapping(), charset, envelope or Envelope())
        converted = Converted(written.data, family, (*found, *written.losses))
        inner_charset = ""
    return _wrapped(converted, to, inner_charset) if to is not family else converted


def _plain(data: bytes, charset: str) -> tuple[Format | None, bytes, str, tuple[Finding, ...]]:
    """The form, the message out of its XML, its character set, and what had no place in it."""
    form = sniff(data)
    if form is None or form in (Format.EDIFACT, Format.HL7):
        octets, odd = charsets.out_of_utf_16(data)
        return form, octets, charset, odd
    tree = xmltree.parse(data, charset)
    form = xml_reader.form_of(tree)
    if form is Format.XML or tree.root is None:
        raise NoConversion("this XML is no form of EDIFACT or HL7 version 2")
    to_message = edifact_xml.from_xml if form is Format.EDI_XML else v2xml.from_xml
    octets, found = to_message(tree.root)
    inner = tree.root.attributes.get("charset", "") if form is Format.EDI_XML else ""
    return _FAMILIES[form], octets, inner, (*tree.findings, *found)


def _wrapped(message: Converted, to: Format, charset: str) -> Converted:
    """A message in its XML. What going back would change is a note."""
    if to is Format.EDI_XML:
        name = charsets.find(message.data, charset)[0]
        return Converted(edifact_xml.to_xml(edifact.parse(message.data, name), name), to, message.losses)
    file = hl7.split(message.data, charset)
    data, findings = v2xml.to_xml(file)
    root = xmltree.parse(data).root
    again = v2xml.from_xml(root)[0] if root is not None else b""
    if again != message.data:
        findings = (*findings, Finding(Severity.NOTE, "Going back from XML gives the same fields in other octets"))
    return Converted(data, to, (*message.losses, *findings))


def _written(
    form: Format | None, data: bytes, family: Format, mapping: Mapping, charset: str, envelope: Envelope
) -> Converted:
    """A message of the other family, written from what this one says."""
    source = _documents(form, data, charset)
    kinds = {document.kind for document in source}
    if not source:
        raise NoConversion("there is no message in it")
    if len(kinds) > 1:
        raise NoConversion("the file has messages of several kinds; convert them one by one")
    kind = kinds.pop()
    if kind is Kind.LABORATORY:
        write = oru.write if family is Format.HL7 else medlab.write
        written, changed = write(source, mapping, envelope)
    elif kind is Kind.LETTER and family is Format.EDIFACT:
        written, changed = medvri.write(source, envelope)
    else:
        raise NoConversion(f"a message of the kind {kind} has no conversion to {family}")
    target = _read(family, written).documents
    said = "Characters that ISO 8859-1 lacks are written otherwise: %(characters)s"
    found = [Finding(Severity.NOTE, said, values={"characters": "".join(changed)})] if changed else []
    return Converted(written, family, (*found, *losses(source, target)))


def _documents(form: Format | None, data: bytes, charset: str) -> Sequence[Document]:
    if form is not None:
        return _read(form, data, charset).documents
    text, _, _ = charsets.decode(data, charset)
    lines = tuple(text.splitlines())
    return [Document(Format.EDIFACT, Kind.LETTER, "", blocks=(Text(lines),))] if any(map(str.strip, lines)) else []


def _read(form: Format, data: bytes, charset: str = "") -> Reading:
    return edifact_reader.read(data, charset) if form is Format.EDIFACT else hl7_reader.read(data, charset)
