"""From what a message says to what is shown of it: :class:`relayd.edi.model.Reading` to
:class:`relayd.edi.view.ReadingShown`.

Everything in a reading is in its view; what is put elsewhere or into other words is so for the reader's sake: who to
whom and the patient first, results before an order's numbers, what the sender's system wrote for itself last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from relayd.edi.flowing import paragraphs
from relayd.edi.history import over_time
from relayd.edi.model import (
    Block,
    Document,
    Embedded,
    Fields,
    Finding,
    Flag,
    Format,
    Heading,
    Identifier,
    Kind,
    Pair,
    Party,
    Patient,
    Reading,
    Result,
    Results,
    Role,
    Severity,
    Status,
    Text,
    Unread,
)
from relayd.edi.names_hl7 import SYSTEM_NAMES
from relayd.edi.people import address_lines, full_name
from relayd.edi.view import (
    BlockShown,
    DocumentShown,
    EmbeddedShown,
    FieldsShown,
    FlagShown,
    HeadingShown,
    HistoryShown,
    Line,
    Person,
    ReadingShown,
    Remark,
    Row,
    TableShown,
    TextShown,
    UnreadShown,
)
from relayd.edi.words import Words

#: Titles of pages and words of the model's enumerations: keys of translation.
TITLES: Final = {
    Kind.LETTER: "Letter",
    Kind.LABORATORY: "Laboratory results",
    Kind.RADIOLOGY: "Radiology report",
    Kind.ORDER: "Request",
    Kind.PATIENT: "Patient data",
    Kind.ACKNOWLEDGEMENT: "Acknowledgement",
    Kind.UNKNOWN: "Message",
}
ROLES: Final = {
    Role.SENDER: "From",
    Role.RECEIVER: "To",
    Role.COPY: "Copy to",
    Role.REQUESTER: "Requested by",
    Role.PRACTITIONER: "Practitioner",
    Role.LABORATORY: "Laboratory",
    Role.PHARMACY: "Pharmacy",
    Role.INSURER: "Insurer",
    Role.CONTACT: "Contact",
    Role.OTHER: "Concerned",
}
SEXES: Final = ("male", "female", "other", "unknown")
_SYMBOLS: Final = {
    Flag.LOW: ("low", "↓"),
    Flag.HIGH: ("high", "↑"),
    Flag.VERY_LOW: ("low", "↓↓"),
    Flag.VERY_HIGH: ("high", "↑↑"),
    Flag.ABNORMAL: ("abnormal", "!"),
    Flag.NORMAL: ("normal", ""),
    Flag.SUSCEPTIBLE: ("other", "S"),
    Flag.RESISTANT: ("other", "R"),
}
#: The usual signs, which our words say; any other sign of the sender is shown beside them.
_SIGNS: Final = frozenset({"<", ">", "<<", ">>", "L", "H", "LL", "HH", "A", "AA", "N", "LO", "HI", "S", "R"})
#: Of a limit that says itself on which side it is.
_COMPARED: Final = ("<", ">", "≤", "≥")
#: Names of identifiers; any other is the sender's own word.
_SYSTEMS: Final = {"bsn": "BSN", "agb": "AGB", "uzovi": "UZOVI"} | SYSTEM_NAMES

#: What is longer, and has a space in it or is longer still, isn't a number.
_SHORT: Final = 9
_NUMBER: Final = 14
#: Of a field that couldn't be decoded no more than this is on the page: it may be ten megabytes of base64.
_MOST_WRITTEN: Final = 10_000
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def labels() -> frozenset[str]:
    """Every key of translation that isn't written out in a call or a template."""
    return frozenset((*TITLES.values(), *ROLES.values(), *SEXES, *filter(None, Flag), *filter(None, Status), *Severity))


def clean(text: str) -> str:
    """``text`` without what a page or a terminal could take for a command: shown as a sign instead."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(_sign, text.replace("\r\n", "\n").replace("\r", "\n"))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"


def present(reading: Reading, words: Words) -> ReadingShown:
    """What the pages of ``reading`` show, in the language of ``words``."""
    documents = tuple(_document(document, words) for document in reading.documents)
    errors, remarks = _remarks(reading.findings, words)
    return ReadingShown(
        title=documents[0].title if documents else words("Message"),
        documents=documents,
        errors=errors,
        remarks=remarks,
        outside=tuple(_text(text, words) for text in reading.outside),
        envelope=tuple(_unread(unread, words) for unread in reading.envelope),
        facts=(
            Line(words("Format"), _format_name(reading.format)),
            *_lines(((words("Character set"), reading.charset),)),
        ),
    )


def _format_name(format: Format) -> str:
    return {Format.EDIFACT: "EDIFACT", Format.HL7: "HL7 v2", Format.XML: "XML"}.get(format, format.value)


def _document(document: Document, words: Words) -> DocumentShown:
    senders, receivers, others = _sides(document)
    blocks, rest = _blocks(document, words)
    errors, remarks = _remarks(document.findings, words)
    part = ""
    if document.parts > 1:
        part = words("part %(part)d of %(parts)d") % {"part": document.part, "parts": document.parts}
    type = " ".join(part for part in (document.type, document.version) if part)
    title = words(TITLES[document.kind])
    if document.kind is Kind.UNKNOWN:  # then its type is all that there is to say of it
        title = clean(f"{title} {type}".strip())
    return DocumentShown(
        style=document.kind.value,
        title=title,
        type=clean(type),
        dated=clean(words.moment(document.dated)),
        test=document.test,
        status=words(document.status.value),
        status_style=_style(document.status),
        part=part,
        patient=_patient(document.patient, words) if document.patient else None,
        senders=_side(senders, document.sender, words("From"), words),
        receivers=_side(receivers, document.receiver, words("To"), words),
        others=tuple(_party(party, words, words(ROLES[party.role])) for party in others if party != Party(party.role)),
        blocks=blocks,
        rest=rest,
        facts=_lines(
            (
                (words("Message type"), type),
                (words("Reference"), document.reference),
                (words("Label"), document.label),
                (words("Number of the sender"), document.sender),
                (words("Number of the receiver"), document.receiver),
            )
        ),
        errors=errors,
        remarks=remarks,
    )


def _style(status: Status) -> str:
    return status.value.replace(" ", "-")


def _sides(document: Document) -> tuple[list[Party], list[Party], list[Party]]:
    """Who sends and who receives; where no party is called so, the one who does so by the kind of message."""
    asked = document.kind is Kind.ORDER
    senders = _first_with(document, (Role.SENDER, Role.REQUESTER if asked else Role.LABORATORY))
    receivers = _first_with(document, (Role.RECEIVER, Role.LABORATORY if asked else Role.REQUESTER))
    return senders, receivers, [one for one in document.parties if one not in senders and one not in receivers]


def _first_with(document: Document, roles: tuple[Role, ...]) -> list[Party]:
    for role in roles:
        if found := [party for party in document.parties if party.role is role]:
            return found
    return []


def _side(parties: list[Party], number: str, role: str, words: Words) -> tuple[Person, ...]:
    """Those on one side; where no party is on it, the number or name of its system."""
    if parties:
        return tuple(_party(party, words, role) for party in parties)
    return (Person(role, clean(", ".join(part for part in number.split("^") if part))),) if number else ()


def _party(party: Party, words: Words, role: str) -> Person:
    name = full_name(party.name) if party.name else ""
    lines = [party.organisation, party.department, party.speciality]
    if not name:
        name, *lines = [line for line in lines if line] or [""]
    if party.address:
        lines += address_lines(party.address)
    facts = (
        *_telephones(party.telephones, words),
        *(_identifier(identifier, words) for identifier in party.identifiers),
        *_pairs(party.others, words),
    )
    return Person(role, clean(name), tuple(clean(line) for line in lines if line), facts)


def _patient(patient: Patient, words: Words) -> Person:
    sex = words(patient.sex) if patient.sex in SEXES else patient.sex
    facts = (
        *_lines(((words("Born"), words.moment(patient.birth_date)), (words("Sex"), sex))),
        *(_identifier(identifier, words) for identifier in patient.identifiers),
        *_lines(((words("Address"), ", ".join(address_lines(patient.address)) if patient.address else ""),)),
        *_telephones(patient.telephones, words),
        *_pairs(patient.others, words),
    )
    name = full_name(patient.name) if patient.name else ""
    return Person(words("Patient"), clean(name), (), facts)


def _identifier(identifier: Identifier, words: Words) -> Line:
    label = _SYSTEMS.get(identifier.system, clean(words(identifier.system))) or words("Number")
    if identifier.sound is None:
        return Line(label, clean(identifier.value))
    remark = words("valid number") if identifier.sound else words("not a valid number")
    return Line(label, clean(identifier.value), remark, not identifier.sound)


def _telephones(telephones: Iterable[str], words: Words) -> tuple[Line, ...]:
    """HL7 has addresses for e-mail among its telephones."""
    return _lines((words("E-mail") if "@" in each else words("Telephone"), each) for each in telephones)


def _lines(pairs: Iterable[tuple[str, str]]) -> tuple[Line, ...]:
    return tuple(Line(label, clean(value)) for label, value in pairs if value)


def _pairs(pairs: Iterable[Pair], words: Words) -> tuple[Line, ...]:
    return tuple(Line(clean(words(pair.label)), clean(_meant(pair, words))) for pair in pairs if pair.value)


def _meant(pair: Pair, words: Words) -> str:
    return f"{words(pair.meaning)} ({pair.value})" if pair.meaning else words.value(pair.value)


def _remarks(findings: Iterable[Finding], words: Words) -> tuple[tuple[Remark, ...], tuple[Remark, ...]]:
    errors: list[Remark] = []
    others: list[Remark] = []
    for one in findings:
        remark = Remark(
            one.severity.value, words(one.severity.value), clean(words.finding(one)), clean(words.place(one.place))
        )
        (errors if one.severity is Severity.ERROR else others).append(remark)
    return tuple(errors), tuple(others)


def _blocks(document: Document, words: Words) -> tuple[tuple[BlockShown, ...], tuple[UnreadShown, ...]]:
    blocks = list(document.blocks)
    rest: list[Block] = []
    if document.kind is not Kind.UNKNOWN:
        rest = [block for block in blocks if isinstance(block, Unread)]
        blocks = [block for block in blocks if not isinstance(block, Unread)]
    tables = [block for block in blocks if isinstance(block, Results)]
    if tables and document.kind is Kind.LABORATORY:
        first = blocks.index(tables[0])
        before = [block for block in blocks[:first] if isinstance(block, Fields)]
        blocks = [*(block for block in blocks[:first] if not isinstance(block, Fields)), *blocks[first:], *before]
    shown: list[BlockShown] = [_SHOW[type(block)](block, words) for block in blocks]
    if history := over_time(tables):
        last = max(index for index, block in enumerate(blocks) if isinstance(block, Results))
        moments = tuple(clean(words.moment(moment)) for moment in history.moments)
        rows = tuple(
            (clean(name), tuple(tuple(_at_once(result, words) for result in cell) for cell in cells))
            for name, cells in history.rows
        )
        shown.insert(last + 1, HistoryShown(moments, rows))
    return tuple(shown), tuple(_unread(block, words) for block in rest if isinstance(block, Unread))


def _at_once(result: Result, words: Words) -> str:
    flag = _flag(result, words)
    mark = (flag.symbol or flag.word) if flag and flag.style != "normal" else ""
    return clean(" ".join(part for part in (", ".join(result.values), mark) if part))


def _heading(heading: Heading, words: Words) -> HeadingShown:
    return HeadingShown(clean(heading.text))


def _text(text: Text, words: Words) -> TextShown:
    lines = [clean(line) for line in text.lines]
    return TextShown(clean(words(text.title)), tuple(paragraphs(lines, flowing=text.flowing)))


def _fields(fields: Fields, words: Words) -> FieldsShown:
    return FieldsShown(clean(words(fields.title)), _pairs(fields.pairs, words))


def _results(results: Results, words: Words) -> TableShown:
    rows = tuple(
        Row(heading=clean(row.text)) if isinstance(row, Heading) else _row(row, results, words) for row in results.rows
    )
    facts = _lines(
        (
            (words("Sampled"), words.moment(results.sampled)),
            (words("Specimen"), results.specimen),
            (words("Laboratory number"), results.number),
            (words("Reported"), words.moment(results.reported)),
        )
    )
    return TableShown(
        title=clean(words(results.title)),
        facts=facts,
        incomplete=words("More results will follow") if results.complete is False else "",
        status=words(results.status.value),
        status_style=_style(results.status),
        notes=tuple(clean(note) for note in results.notes),
        rows=rows,
        more=_pairs(results.others, words),
        coded=any(row.codes for row in rows),
    )


def _row(result: Result, table: Results, words: Words) -> Row:
    facts = _pairs(result.others, words)
    if result.observed and result.observed != table.sampled:
        facts = (*_lines(((words("Observed"), words.moment(result.observed)),)), *facts)
    final = result.status in (Status.NONE, Status.FINAL)
    is_long = len(result.values) > 1 or any(map(_is_words, result.values))
    range, flag = clean(_range(result, words)), _flag(result, words)
    return Row(
        name=clean(result.name),
        values=tuple(map(clean, result.values)),
        is_long=is_long,
        span=1 if not is_long or result.unit else 2 if range or flag else 4,
        unit=clean(result.unit),
        range=range,
        flag=flag,
        status="" if final else words(result.status.value),
        status_style="" if final else _style(result.status),
        codes=tuple(
            clean(" ".join(part for part in (_SYSTEMS.get(one.system, one.system), one.value, one.text) if part))
            for one in result.codes
        ),
        notes=tuple(map(clean, result.notes)),
        artefacts=tuple(clean(line) for line in result.artefacts if line),
        facts=facts,
    )


def _is_words(value: str) -> bool:
    return len(value) > _NUMBER or (len(value) > _SHORT and " " in value)


def _range(result: Result, words: Words) -> str:
    if result.low and result.high:
        limits = f"{result.low} – {result.high}"
    elif (limit := result.low or result.high) and limit.lstrip().startswith(_COMPARED):
        limits = limit
    elif result.low:
        limits = words("from %(limit)s") % {"limit": result.low}
    elif result.high:
        limits = words("up to %(limit)s") % {"limit": result.high}
    else:
        return result.range
    return f"{limits} ({result.range})" if result.range else limits


def _flag(result: Result, words: Words) -> FlagShown | None:
    if result.flag is Flag.NONE:
        return FlagShown("other", "", clean(result.flag_text)) if result.flag_text else None
    if result.flag is Flag.OTHER:
        return FlagShown("other", "", clean(result.flag_text) or words("other"))
    style, symbol = _SYMBOLS[result.flag]
    word = words(result.flag.value)
    if result.flag_text and result.flag_text not in _SIGNS:
        word = f"{word} ({clean(result.flag_text)})"
    return FlagShown(style, symbol, word)


def _embedded(embedded: Embedded, words: Words) -> EmbeddedShown:
    written = embedded.written if embedded.data is None else ""
    if len(written) > _MOST_WRITTEN:
        left = words("%(count)d more characters stand in the original") % {"count": len(written) - _MOST_WRITTEN}
        written = f"{written[:_MOST_WRITTEN]} … {left}"
    return EmbeddedShown(
        name=clean(embedded.name) or words("Document"),
        media_type=clean(embedded.media_type),
        size=words.size(len(embedded.data)) if embedded.data is not None else words("unreadable"),
        written=clean(written),
        facts=_pairs(embedded.others, words),
    )


def _unread(unread: Unread, words: Words) -> UnreadShown:
    return UnreadShown(
        tag=clean(unread.tag),
        name=clean(words(unread.name)),
        place=f"{words('line')} {unread.place.line}" if unread.place.line else "",
        elements=tuple(
            Line(f"{clean(element.position)} {clean(words(element.name))}".strip(), clean(element.value))
            for element in unread.elements
            if element.value
        ),
        written=clean(unread.written),
    )


_SHOW: Final[dict[type, Callable[..., BlockShown]]] = {
    Heading: _heading,
    Text: _text,
    Fields: _fields,
    Results: _results,
    Embedded: _embedded,
    Unread: _unread,
}
