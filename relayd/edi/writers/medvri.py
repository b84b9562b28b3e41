"""MEDVRI:1, the message of free text: from a letter of any form, or from text alone."""

from __future__ import annotations

from collections.abc import Sequence

from relayd.edi.model import Document, Embedded, Fields, Heading, Party, Role, Text
from relayd.edi.writers import edifact
from relayd.edi.writers.envelope import Envelope
from relayd.edi.writers.remarks import described, lines_of


def write(documents: Sequence[Document], envelope: Envelope) -> tuple[bytes, tuple[str, ...]]:
    """An interchange with a MEDVRI:1 for each document, and the characters that had to be written otherwise."""
    writer = edifact.open_interchange(documents, envelope)
    for document in documents:
        _write(writer, document, envelope)
    return writer.finish()


def _write(writer: edifact.Writer, document: Document, envelope: Envelope) -> None:
    writer.begin("MEDVRI", document.reference, document.label)
    parties = {party.role: party for party in reversed(document.parties)}
    author, reader = parties.get(Role.SENDER) or parties.get(Role.PRACTITIONER), parties.get(Role.RECEIVER)
    # GGA has to name someone.
    unnamed = Party(Role.SENDER, organisation=envelope.sender or edifact.system(document.sender))
    writer.add("GGA", *edifact.party_elements(author or unnamed))
    when = document.dated or envelope.dated
    writer.add("DET", edifact.date(when), edifact.time(when))
    edifact.add_patient(writer, document.patient)
    others = [described(party) for party in document.parties if party not in (author, reader)]
    others += [line for block in document.blocks if isinstance(block, Fields | Embedded) for line in lines_of(block)]
    for number, line in enumerate(edifact.wrap("\n".join([text(document), *([""] if others else []), *others])), 1):
        writer.add("TXT", line, counters=(number,))
    if reader is not None:
        writer.add("GGO", *edifact.party_elements(reader))
    writer.end()


def text(document: Document) -> str:
    """A letter's text, in the lines that its sender broke it into."""
    return "\n".join(line for block in document.blocks if isinstance(block, Text | Heading) for line in lines_of(block))
