"""MEDVRI:1, the message of free text: from a letter of any form, or from text alone."""

from __future__ import annotations

from collections.abc import Sequence

from relayd.edi.model import Document, Heading, Party, Role, Text
from relayd.edi.writers import edifact


def write(documents: Sequence[Document], sender: str = "", receiver: str = "") -> tuple[bytes, tuple[str, ...]]:
    """An interchange with a MEDVRI:1 for each document, and the characters that had to be written otherwise.

    ``sender`` and ``receiver`` are the numbers for UNB, where the documents' own won't do.
    """
    writer = edifact.open_interchange(documents, sender, receiver)
    for document in documents:
        _write(writer, document)
    return writer.finish()


def _write(writer: edifact.Writer, document: Document) -> None:
    writer.begin("MEDVRI", document.reference, document.label)
    parties = {party.role: party for party in reversed(document.parties)}
    author = parties.get(Role.SENDER) or parties.get(Role.PRACTITIONER) or Party(Role.SENDER)
    writer.add("GGA", *edifact.party_elements(author))
    writer.add("DET", edifact.date(document.dated), edifact.time(document.dated))
    edifact.add_patient(writer, document.patient)
    for number, line in enumerate(edifact.wrap(text(document)), 1):
        writer.add("TXT", line, counters=(number,))
    if (reader := parties.get(Role.RECEIVER)) is not None:
        writer.add("GGO", *edifact.party_elements(reader))
    writer.end()


def text(document: Document) -> str:
    """A letter's text, in the lines that its sender broke it into."""
    lines: list[str] = []
    for block in document.blocks:
        if isinstance(block, Heading):
            lines.append(block.text)
        elif isinstance(block, Text):
            lines.extend(block.lines)
    return "\n".join(lines)
