"""What a form has no field for, in words for the people who read it. They are Dutch, as the messages are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relayd.edi.model import Address, Block, Document, Embedded, Fields, Heading, Pair, Party, PersonName, Role, Text
from relayd.edi.names import Label
from relayd.edi.words import words_of

_ROLES: Final = {
    Role.LABORATORY: "Laboratorium", Role.SENDER: "Afzender", Role.RECEIVER: "Ontvanger", Role.COPY: "Kopie aan",
    Role.CONTACT: "Inlichtingen", Role.REQUESTER: "Aanvrager", Role.PRACTITIONER: "Arts", Role.PHARMACY: "Apotheek",
    Role.INSURER: "Verzekeraar", Role.OTHER: "Overige",
}  # fmt: skip
#: What a role says already.
_IMPLIED: Final = {Label.PRACTITIONER, Label.COPY}


def described(party: Party) -> str:
    """A party in one line."""
    of = party.address or Address()
    parts = (
        written_name(party.name), party.speciality, party.organisation, party.department,
        f"{of.street} {of.number}".strip(), of.box, f"{of.postcode} {of.city}".strip(), of.region, of.country,
        *(f"tel. {number}" for number in party.telephones),
        *(f"{identifier.system.upper()} {identifier.value}" for identifier in party.identifiers),
        *(said(pair) for pair in party.others if pair.label not in _IMPLIED),
    )  # fmt: skip
    return f"{_ROLES[party.role]}: {', '.join(part for part in parts if part)}"


def said(pair: Pair) -> str:
    """A label with its value."""
    words = words_of("nl")
    meaning = f" ({words(pair.meaning)})" if pair.meaning else ""
    return f"{words(pair.label)}: {pair.value}{meaning}"


def written_name(name: PersonName | None) -> str:
    """A whole name, as it came or in the Dutch order."""
    if name is None:
        return ""
    if name.written:
        return name.written
    surnames = (f"{name.partner_prefix} {name.partner}".strip(), f"{name.own_prefix} {name.own}".strip())
    surname = " - ".join(part for part in surnames if part)
    return " ".join(part for part in (name.title, name.initials or name.given, surname) if part)


def outside_tables(document: Document) -> Iterator[str]:
    """What a laboratory's message says besides its tables, a line each."""
    for block in document.blocks:
        yield from lines_of(block)


def lines_of(block: Block) -> Iterator[str]:
    """The lines of a block of text or fields, and a word for a document; none for others."""
    match block:
        case Text():
            yield from block.lines
        case Heading():
            yield block.text
        case Fields():
            yield from map(said, block.pairs)
        case Embedded():
            yield f"Bijlage in het oorspronkelijke bericht: {block.name} ({block.media_type})"
