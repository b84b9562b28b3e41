"""The transform ``edi``: what a mail's EDI becomes by an in-box rule. Pure over octets; runs in the rendering process.

Options: ``form`` as in the rule, ``language``, ``pdf`` (the variant), ``templates`` (a folder); of the form ``folder``
also ``content``, the form of the files, and ``names``, how they are called. ``mapping`` is a table of laboratory codes.
"""

from __future__ import annotations

import contextlib
import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from relayd.edi.convert import Converted, NoConversion, convert
from relayd.edi.mapping import read_mapping
from relayd.edi.model import Document, Embedded, Format, Reading, Severity
from relayd.edi.reading import read
from relayd.edi.rendering import OURS, Templates, html, text
from relayd.mail.remade import NewPart
from relayd.rendering.wire import Leaf, Made, MakePdf, Remade, Remake, Variant

MakesPdf = Callable[[MakePdf], Made]

_EXTENSIONS: Final = {
    Format.EDIFACT: "edi",
    Format.HL7: "hl7",
    Format.EDI_XML: "xml",
    Format.V2_XML: "xml",
    Format.XML: "xml",
}
_MEDIA_TYPES: Final = {
    Format.EDIFACT: "application/EDIFACT",
    Format.HL7: "application/hl7-v2+er7",
    Format.EDI_XML: "application/xml",
    Format.V2_XML: "application/xml",
    Format.XML: "application/xml",
}
_EDIFACT: Final = (Format.EDIFACT, Format.EDI_XML)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 40
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_^:.-]{0,39}")
#: Kinds of messages that the journal names, of one mail.
_NAMED: Final = 10

Read = tuple[Leaf, Reading]


def remake(request: Remake, make_pdf: MakesPdf) -> Remade:
    """What the rule makes of these leaves. Without parts or files: nothing, the mail stays as it is."""
    options = request.options
    everything = [(leaf, read(leaf.data, leaf.charset)) for leaf in request.leaves]
    made = _made(options["form"], everything, options, make_pdf)
    readings = [reading for _, reading in everything]
    name = f"message.{_EXTENSIONS[readings[0].format]}"
    return msgspec.structs.replace(made, name=name, facts={**made.facts, **_facts(readings)})


def _made(form: str, everything: Sequence[Read], options: Mapping[str, str], make_pdf: MakesPdf) -> Remade:
    match form:
        case "html":
            return _html(everything, options)
        case "pdf":
            return _pdf(everything, options, make_pdf)
        case "folder":
            return _files(everything, options, make_pdf)
        case "system":
            return _messages(everything, options)
        case "edifact" | "hl7" | "edi-xml" | "v2.xml":
            return _converted(everything, Format(form), options)
    return Remade()


def _converted(everything: Sequence[Read], to: Format, options: Mapping[str, str]) -> Remade:
    """Each part as a file of that format. One that has no way there stays in the mail as it came."""
    files: list[NewPart] = []
    lost, reason, whole = 0, "", True
    for number, one in enumerate(everything, 1):
        try:
            converted = _convert(one, to, options)
        except NoConversion as error:
            reason = str(error)
            continue
        lost += len(converted.losses)
        whole = whole and _says_all(one, converted)
        files.append(NewPart(_MEDIA_TYPES[to], converted.data, f"{_stem(one, number)}.{_EXTENSIONS[to]}"))
    facts: dict[str, str | int | list[str]] = {"losses": lost} if files else {}
    if reason:
        facts["reason"] = reason
    return Remade((), tuple(files), says_all=whole and not reason, facts=facts)


def _says_all(one: Read, converted: Converted) -> bool:
    """True of a message and its own XML, when nothing was lost between them. From one family to the other the original
    always goes along."""
    same = (one[1].format in _EDIFACT) == (converted.format in _EDIFACT)
    return same and all(loss.severity is Severity.NOTE for loss in converted.losses)


def _convert(one: Read, to: Format, options: Mapping[str, str]) -> Converted:
    leaf, _ = one
    mapping = read_mapping(Path(file)) if (file := options.get("mapping")) else None
    return convert(leaf.data, to, mapping=mapping, charset=leaf.charset)


def _html(everything: Sequence[Read], options: Mapping[str, str]) -> Remade:
    together = _together([reading for _, reading in everything])
    page = html(together, options["language"], _templates(options))
    shown = (
        NewPart("text/plain; charset=utf-8", text(together, options["language"]).encode()),
        NewPart("text/html; charset=utf-8", page.html.encode()),
    )
    return Remade(shown, tuple(_embedded(together.documents)))


def _pdf(everything: Sequence[Read], options: Mapping[str, str], make_pdf: MakesPdf) -> Remade:
    together = _together([reading for _, reading in everything])
    shown = NewPart("text/plain; charset=utf-8", text(together, options["language"]).encode())
    files = [_one_pdf(one, options, make_pdf, f"{_stem(one, number)}.pdf") for number, one in enumerate(everything, 1)]
    return Remade((shown,), (*files, *_embedded(together.documents)))


def _one_pdf(one: Read, options: Mapping[str, str], make_pdf: MakesPdf, name: str) -> NewPart:
    leaf, reading = one
    variant = Variant(options.get("pdf", Variant.PDF_A))
    page = html(reading, options["language"], _templates(options))
    inside = leaf.data if variant is Variant.PDF_A else b""
    original = _UNSAFE.sub("_", leaf.name) or f"message.{_EXTENSIONS[reading.format]}"
    return NewPart("application/pdf", make_pdf(MakePdf(page.html, inside, original, variant)).pdf, name)


def _files(everything: Sequence[Read], options: Mapping[str, str], make_pdf: MakesPdf) -> Remade:
    """The files of a folder, each in the form that the rule wants; as it came, where there is no way to that."""
    files: list[NewPart] = []
    says_all = True
    for number, one in enumerate(everything, 1):
        file, whole = _one_file(number, one, options, make_pdf)
        files.append(file)
        says_all = says_all and whole
    return Remade((), tuple(files), says_all=says_all)


def _one_file(number: int, one: Read, options: Mapping[str, str], make_pdf: MakesPdf) -> tuple[NewPart, bool]:
    """One file, and whether it says all that the message does."""
    (leaf, reading), content = one, options["content"]

    def named(extension: str) -> str:
        return _file_name(options["names"], reading, number, extension)

    match content:
        case "html":
            page = html(reading, options["language"], _templates(options))
            return NewPart("text/html; charset=utf-8", page.html.encode(), named("html")), False
        case "pdf":
            return _one_pdf(one, options, make_pdf, named("pdf")), False
        case "edifact" | "hl7" | "edi-xml" | "v2.xml":
            to = Format(content)
            with contextlib.suppress(NoConversion):
                made = _convert(one, to, options)
                return NewPart(_MEDIA_TYPES[to], made.data, named(_EXTENSIONS[to])), _says_all(one, made)
    return NewPart(_MEDIA_TYPES[reading.format], leaf.data, named(_EXTENSIONS[reading.format])), True


def _messages(everything: Sequence[Read], options: Mapping[str, str]) -> Remade:
    """HL7 for a system, which takes nothing beside it: so only what loses nothing on the way there."""
    if any(reading.format not in (Format.HL7, Format.V2_XML) for _, reading in everything):
        return Remade(facts={"reason": "a system takes HL7 alone"})
    try:
        made = [
            leaf.data if r.format is Format.HL7 else _convert((leaf, r), Format.HL7, options).data
            for leaf, r in everything
        ]
    except NoConversion as error:
        return Remade(facts={"reason": str(error)})
    files = tuple(
        NewPart(_MEDIA_TYPES[Format.HL7], data, f"message-{number}.hl7") for number, data in enumerate(made, 1)
    )
    return Remade((), files, says_all=True)


def _file_name(names: str, reading: Reading, number: int, extension: str) -> str:
    """A name by the folder's pattern. What comes from the message is cut down to letters, digits and a few signs, and
    neither hides the file from the program that watches for it (".") nor is an option to that ("-")."""
    first = reading.documents[0] if reading.documents else None
    fields = {
        "number": str(number),
        "type": first.type if first else "",
        "version": first.version if first else "",
        "reference": first.reference if first else "",
        "sender": first.sender if first else "",
        "receiver": first.receiver if first else "",
        "extension": extension,
    }
    name = re.sub(r"\{([a-z]+)\}", lambda found: _UNSAFE.sub("_", fields.get(found[1], ""))[:_LONGEST], names)
    return name.lstrip(".-")


def _together(readings: Sequence[Reading]) -> Reading:
    """All messages of the mail, in the order in which they stand there."""
    first, *others = readings
    return (
        replace(
            first,
            documents=tuple(one for reading in readings for one in reading.documents),
            findings=tuple(one for reading in readings for one in reading.findings),
            outside=tuple(one for reading in readings for one in reading.outside),
            envelope=tuple(one for reading in readings for one in reading.envelope),
        )
        if others
        else first
    )


def _templates(options: Mapping[str, str]) -> Templates:
    folder = options.get("templates")
    return Templates(Path(folder)) if folder else OURS


def _embedded(documents: Iterable[Document]) -> Iterator[NewPart]:
    """Documents inside the messages, as files that a mail program can open."""
    blocks = [
        block for one in documents for block in one.blocks if isinstance(block, Embedded) and block.data is not None
    ]
    for number, block in enumerate(blocks, 1):
        kind = block.media_type.lower()
        kind = kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
        name = block.name or f"document-{number}{mimetypes.guess_extension(kind) or '.bin'}"
        yield NewPart(kind, block.data or b"", name)


def _stem(one: Read, number: int) -> str:
    leaf, reading = one
    kind = reading.documents[0].type if reading.documents else ""
    named = _UNSAFE.sub("_", leaf.name.rpartition(".")[0]) or _UNSAFE.sub("_", kind) or "message"
    return f"{named[:_LONGEST]}-{number}"


def _facts(readings: Sequence[Reading]) -> dict[str, str | int | list[str]]:
    """What the journal says: kinds of messages, how many, how many findings. Never what they say."""
    documents = [one for reading in readings for one in reading.documents]
    kinds = [" ".join(word for word in (one.type, one.version) if _WORD.fullmatch(word)) for one in documents]
    findings = sum(len(one.findings) for one in readings) + sum(len(one.findings) for one in documents)
    recognised = list(dict.fromkeys(kind or "unknown" for kind in kinds))
    return {"recognised": recognised[:_NAMED], "messages": len(documents), "findings": findings}
