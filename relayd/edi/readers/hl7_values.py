"""Values of HL7's data types (HL7 2.5 §2.A) as the model has them, and as text where it has no place for them.

What a value is taken from is remembered, so that a reader can tell what it has left: see :class:`Parts`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Final

from relayd.edi import numbers
from relayd.edi.hl7 import Segment
from relayd.edi.model import Address, Code, Identifier, Pair, PersonName
from relayd.edi.names_hl7 import PLUMBING, SYSTEM_NAMES, SYSTEMS, TABLES, name_of

#: What a sender writes to have a value deleted (HL7 2.5 §2.5.3); a field that is this is left to be shown as it is.
DELETED: Final = '""'

_BSN: Final = frozenset({"NLMINBIZA", "NNNLD", "BSN", "2.16.840.1.113883.2.4.6.3"})
_VEKTIS: Final = frozenset({"VEKTIS", "AGB", "VEKTIS-AGB", "2.16.840.1.113883.2.4.6.1"})
_UZOVI: Final = frozenset({"UZOVI", "2.16.840.1.113883.2.4.6.4"})
#: Words that only say that an identifier is one of ours: what it is follows from the system.
_ISSUER_WORDS: Final = _BSN | _VEKTIS | _UZOVI | {"ISO", "NI"}
#: Uses and kinds of names, addresses and telephones (tables 0200, 0190, 0201, 0202) that a page needn't say.
_USUAL_USES: Final = frozenset(
    {"L", "D", "M", "H", "C", "PRN", "ORN", "WPN", "NET", "PH", "CP", "INTERNET", "X.400", "UCUM", "ISO+", "ISO"}
)

_TS = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?", re.ASCII)
_TM = re.compile(r"(\d\d)(\d\d)(?:(\d\d)(?:\.\d{1,6})?)?(?:[+-]\d{4})?", re.ASCII)
_INITIALS = re.compile(r"(?:[^\W\d_]{1,2}h?\.[ -]?)+|[A-Z]{1,4}|[A-Z](?: [A-Z]){0,4}")
_RANGE = re.compile(r"\s{0,4}([+-]?\d[\d.,]{0,20})\s{0,4}-\s{0,4}([+-]?\d[\d.,]{0,20})\s{0,4}", re.ASCII)


class Parts:
    """One repetition of a field in its components and sub-components, which remembers what has been taken."""

    __slots__ = ("_left", "_segment")

    def __init__(self, segment: Segment, raw: str) -> None:
        self._segment = segment
        self._left = [segment.subcomponents(component) for component in segment.components(raw)]

    def take(self, component: int, subcomponent: int = 1) -> str:
        """One unescaped value, "" where there is none; it is left no more."""
        if component > len(self._left) or subcomponent > len(self._left[component - 1]):
            return ""
        subcomponents = self._left[component - 1]
        raw, subcomponents[subcomponent - 1] = subcomponents[subcomponent - 1], ""
        return self._segment.unescape(raw).strip() if raw else ""

    def whole(self, component: int) -> str:
        """All that is left of a component; its sub-components are parted by spaces."""
        if component > len(self._left) or not any(subcomponents := self._left[component - 1]):
            return ""
        return joined([self.take(component, number) for number in range(1, len(subcomponents) + 1)])

    def rest(self, known: frozenset[str] = frozenset()) -> str:
        """What is left, parted by spaces, without the ``known`` words."""
        left = [self.whole(number) for number, subcomponents in enumerate(self._left, 1) if any(subcomponents)]
        return joined([value for value in left if value.upper() not in known]) if left else ""


def joined(values: Iterable[str], between: str = " ") -> str:
    """The values that aren't empty."""
    return between.join([value for value in values if value])


def moment(written: str) -> str:
    """A TS, DT or DTM as ISO 8601, as exact as it is; what can't be one comes back as it is."""
    match = _TS.fullmatch(written.strip())
    if match is None:
        return written
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if (month or "01") not in _MONTHS or not "01" <= (day or "01") <= "31" or year == "0000":
        return written
    if (hour or "00") > "24" or (minute or "00") > "59" or (second or "00") > "60":
        return written
    text = "-".join(part for part in (year, month, day) if part)
    if hour:
        text += f"T{hour}:{minute or '00'}" + (f":{second}{fraction or ''}" if second else "")
        text += f"{zone[:3]}:{zone[3:]}" if zone else ""
    elif zone:
        return written
    return text


_MONTHS: Final = frozenset(f"{month:02}" for month in range(1, 13))


def time(written: str) -> str:
    """A TM as "10:15" or "10:15:30"; what can't be one comes back as it is."""
    match = _TM.fullmatch(written.strip())
    return ":".join(part for part in match.groups() if part) if match else written


def limits(written: str) -> tuple[str, str, str]:
    """A reference range as its lower and upper limit, or as the text that it is."""
    match = _RANGE.fullmatch(written)
    return (match[1], match[2], "") if match else ("", "", written)


def codes(parts: Parts) -> tuple[str, tuple[Code, ...]]:
    """A CE or CWE: what it says, and its codes with the texts that say it otherwise."""
    found: list[tuple[str, str, str]] = []
    for first in (1, 4):
        code, text, system = parts.take(first), parts.take(first + 1), parts.take(first + 2)
        if code or text or system:
            found.append((code, text, system))
    original = parts.take(9)
    name = next((text for _, text, _ in found if text), "") or original
    if not name and found:
        name = found[0][0]
    given = [
        Code(code, SYSTEMS.get(system.upper(), system), text if text != name else "")
        for code, text, system in found
        if (code or system or text not in ("", name)) and (code, text, system) != (name, "", "")
    ]
    if original not in ("", name):
        given.append(Code("", "", original))
    return name, tuple(given)


def code_text(code: Code) -> str:
    """A code in one line, its system first, as in a table's column of codes."""
    return joined((SYSTEM_NAMES.get(code.system, code.system), code.value, code.text))


def identifier(parts: Parts) -> tuple[Identifier, str]:
    """A CX: number, check digit, its scheme, who gave it, kind, facility; and what there is no place for."""
    number = parts.take(1)
    words = [parts.whole(component) for component in (4, 5, 6, 9, 10)]
    found, rest = _identifier(number, words)
    return found, joined((rest, parts.rest()))


def _identifier(number: str, words: list[str]) -> tuple[Identifier, str]:
    each = list(dict.fromkeys(word for words_of in words for word in words_of.split()))
    known = {word.upper() for word in each}
    rest = " ".join(word for word in each if word.upper() not in _ISSUER_WORDS)
    if known & _BSN:
        return numbers.bsn(number), rest
    if known & _UZOVI:
        return Identifier("uzovi", number), rest
    if known & _VEKTIS:
        return Identifier("agb", number), rest
    return Identifier(rest or " ".join(each), number), ""


def person_name(parts: Parts, first: int = 1) -> PersonName:
    """An XPN, or the name in an XCN (``first`` is 2): surname in Dutch parts, given names, suffix, title, degree.

    The surname's sub-components are the whole, own prefix, own name, partner's prefix, partner's name
    (HL7 2.5 §2.A.30).
    """
    whole, own_prefix, own = (parts.take(first, number) for number in (1, 2, 3))
    partner_prefix, partner = parts.take(first, 4), parts.take(first, 5)
    if not own and not partner:
        own = whole.removeprefix(f"{own_prefix} ") if own_prefix else whole
        whole = ""
    given, further = parts.take(first + 1), parts.take(first + 2)
    initials = ""
    if given and _INITIALS.fullmatch(given):
        initials, given = joined((given, further)), ""
    elif further and _INITIALS.fullmatch(further):
        initials = further
    else:
        given = joined((given, further))
    ways = {joined((own_prefix, own)), joined((partner_prefix, partner))}
    ways.add(f"{joined((partner_prefix, partner))} - {joined((own_prefix, own))}")
    title = joined(parts.take(first + number) for number in (4, 5, 3))
    if not partner and sorted(whole.replace(",", " ").split()) == sorted((*own_prefix.split(), *own.split())):
        whole = ""  # "Hart, van der": with one surname its order says nothing
    return PersonName(
        own, own_prefix, partner, partner_prefix, initials, given, title, "" if whole in ways else whole
    )  # fmt: skip


def provider(parts: Parts) -> tuple[PersonName | None, tuple[Identifier, ...], str]:
    """An XCN: a number, a name as in an XPN, and who gave the number; and what there is no place for."""
    number = parts.take(1)
    name = person_name(parts, 2)
    words = [parts.whole(component) for component in (8, 9, 13, 14)]
    found, rest = _identifier(number, words)
    return name if name != PersonName() else None, (found,) if found.value or found.system else (), rest


def address(parts: Parts) -> tuple[Address, str]:
    """An XAD, with what of its first line the parts don't say. That line's sub-components are the whole line,
    street and number (HL7 2.5 §2.A.60); an addition to the number stands in the second component."""
    whole, street, number, addition = parts.take(1), parts.take(1, 2), parts.take(1, 3), parts.take(2)
    if not street:
        street, whole = whole, ""
    if set(whole.split()) <= {*street.split(), *number.split(), *addition.split()}:
        whole = ""
    city, region, postcode, country = (parts.take(component) for component in (3, 4, 5, 6))
    number = " ".join(part for part in (number, addition) if part)
    return Address(street, number, "", postcode, city, region, country), whole


def telephone(parts: Parts) -> str:
    """An XTN: the number as it is written, or its parts, or the address for e-mail."""
    written = parts.take(1) or parts.take(12)
    number = joined(parts.take(component) for component in (5, 6, 7, 8))
    return joined((written, number, parts.take(4)))


def shown(segment: Segment, raw: str, type: str) -> str:
    """One repetition of any data type as text, with nothing of it left out."""
    if type == "FT":
        return segment.unescape(raw)
    plain = segment.components(raw)
    if len(plain) == 1 and len(segment.subcomponents(raw)) == 1:
        value = segment.unescape(raw).strip()
        return moment(value) if type in ("TS", "DR") else value
    parts = Parts(segment, raw)
    show = _SHOWN.get(type)
    text = show(parts) if show is not None else ""
    return joined((text, parts.rest(_USUAL_USES if type in ("XPN", "XAD", "XTN") else frozenset())))


def _shown_moment(parts: Parts) -> str:
    return moment(parts.take(1))


def _shown_period(parts: Parts) -> str:
    start, end = moment(parts.take(1)), moment(parts.take(2))
    return f"{start} - {end}" if start and end and start != end else start or end


def _shown_code(parts: Parts) -> str:
    name, given = codes(parts)
    others = "; ".join(text for text in map(code_text, given) if text != name)
    return f"{name} ({others})" if others else name


def _shown_person(parts: Parts) -> str:
    return _name_text(person_name(parts))


def _shown_provider(parts: Parts) -> str:
    name, given, rest = provider(parts)
    numbers = "; ".join(joined((each.value, each.system)) for each in given)
    return joined((_name_text(name) if name else "", f"({numbers})" if numbers else "", rest))


def _name_text(name: PersonName) -> str:
    own, partner = joined((name.own_prefix, name.own)), joined((name.partner_prefix, name.partner))
    surname = name.written or " - ".join(part for part in (partner, own) if part)
    return joined((name.title, name.initials, name.given, surname, *(p for p in (partner, own) if p not in surname)))


def _shown_address(parts: Parts) -> str:
    found, whole = address(parts)
    line = joined((found.street, found.number))
    return joined((whole, line, joined((found.postcode, found.city)), found.region, found.country), ", ")


_SHOWN: Final[dict[str, Callable[[Parts], str]]] = {
    "TS": _shown_moment, "DR": _shown_period, "CE": _shown_code, "CWE": _shown_code, "CNE": _shown_code,
    "XPN": _shown_person, "XCN": _shown_provider, "XAD": _shown_address, "XTN": telephone,
}  # fmt: skip


def is_single(segment: Segment, number: int) -> bool:
    """Whether a field is one value, so that :meth:`Segment.value` says all of it."""
    raw = segment.raw(number)
    return len(segment.repetitions(number)) < 2 and len(segment.components(raw)) == len(segment.subcomponents(raw)) == 1


def pair(segment: Segment, number: int, raw: str, position: str) -> Pair:
    """One repetition of a field with its name, and what a code in it means where we know."""
    name = name_of(segment.tag, number)
    value = shown(segment, raw, name.type)
    table = TABLES.get((segment.tag, number))
    meaning = table.get(segment.unescape(segment.components(raw)[0]), "") if table else ""
    return Pair(name.text or f"{segment.tag}-{number}", value, segment.place(position), meaning)


def left(segment: Segment, taken: Iterable[int]) -> list[Pair]:
    """The fields of a segment that aren't taken, and of those that are, what is to be deleted."""
    gone = set(taken)
    found: list[Pair] = []
    for number, raw in enumerate(segment.fields):
        if not raw or number == 0 or (number in gone and raw != DELETED):
            continue
        if name_of(segment.tag, number).text in PLUMBING and (number <= 2 and not raw.strip("0123456789 ")):
            continue
        repetitions = segment.repetitions(number)
        for index, repetition in enumerate(repetitions, 1):
            if repetition:
                position = f"{number}[{index}]" if len(repetitions) > 1 else str(number)
                found.append(pair(segment, number, repetition, position))
    return [each for each in found if each.value]


# The values of OBX-5


#: Data types that OBX-2 may name (table 0125).
VALUE_TYPES: Final = frozenset({
    "AD", "CE", "CF", "CK", "CN", "CNE", "CP", "CWE", "CX", "DR", "DT", "DTM", "ED", "EI", "FT", "HD", "ID", "IS",
    "MA", "MO", "NA", "NM", "NR", "PL", "PN", "RP", "SI", "SN", "ST", "TM", "TN", "TS", "TX", "XAD", "XCN", "XON",
    "XPN", "XTN",
})  # fmt: skip

_NO_TEXT = re.compile(r"\s+")
_MAGIC: Final = (
    (b"%PDF-", "application/pdf"), (b"\x89PNG\r\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"),
    (b"{\\rtf", "application/rtf"), (b"GIF8", "image/gif"), (b"PK\x03\x04", "application/zip"),
)  # fmt: skip
#: Top-level media types; table 0191 has them, and shorter words of older versions.
_MEDIA: Final = {
    "APPLICATION": "application", "TEXT": "text", "IMAGE": "image", "AUDIO": "audio", "VIDEO": "video",
    "MULTIPART": "multipart", "AP": "application", "IM": "image", "TX": "text", "FT": "text",
}  # fmt: skip
#: Sub-types by their older or usual names.
_SUBTYPES: Final = {"jpg": "jpeg", "text": "plain", "txt": "plain", "word": "msword", "doc": "msword"}
_ENCODINGS: Final = frozenset({"BASE64", "HEX", "A"})
#: The beginning of a PDF in base64, which some senders put in a field of text.
_BARE_PDF: Final = "JVBERi0"


def is_embedded(segment: Segment, raw: str, type: str) -> bool:
    """Whether a value is a document: of type ED, or one by its looks whatever OBX-2 says."""
    if type == "ED" or (raw.startswith(_BARE_PDF) and len(raw) > 200):
        return bool(raw)
    if not segment.separators.component:
        return False
    head = raw[:200].split(segment.separators.component, 4)
    return len(head) == 5 and head[3].upper() == "BASE64"


def embedded(segment: Segment, raw: str) -> tuple[bytes | None, str, str]:
    """A document's octets (None where they can't be decoded), its media type, and the source application.

    The data may be megabytes: they are cut off the field, never split.
    """
    source, main, sub, encoding, data = "", "", "", "", raw
    head = raw.split(segment.separators.component, 4) if segment.separators.component else [raw]
    if len(head) == 5:
        source, main, sub, encoding, data = *(segment.unescape(part) for part in head[:4]), head[4]
    elif len(head) > 1:
        return None, "application/octet-stream", ""
    octets = _decoded(segment, data, encoding.upper() or "BASE64")
    media = _media_type(main, sub)
    if octets is not None:
        media = next((found for magic, found in _MAGIC if octets.startswith(magic)), media)
    return octets, media, source.replace(segment.separators.subcomponent or " ", " ").strip()


def _decoded(segment: Segment, data: str, encoding: str) -> bytes | None:
    text = segment.unescape(data)
    if encoding == "A":
        return text.encode()
    try:
        plain = _NO_TEXT.sub("", text) if any(mark in text for mark in " \t\r\n") else text
        if encoding == "HEX":
            return bytes.fromhex(plain)
        plain = plain.rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def _media_type(main: str, sub: str) -> str:
    top, low = _MEDIA.get(main.strip().upper(), ""), sub.strip().lower()
    if not top and "/" in main:
        top, _, low = main.strip().lower().partition("/")
    low = _SUBTYPES.get(low, low)
    sound = re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}", low) is not None
    if low == "pdf":
        return "application/pdf"
    return f"{top}/{low}" if top and sound else "application/octet-stream"


def value(segment: Segment, raw: str, type: str) -> tuple[str, tuple[Code, ...]]:
    """One repetition of OBX-5 as text, with the codes behind it."""
    match type:
        case "CE" | "CWE" | "CNE" | "CF":
            parts = Parts(segment, raw)
            name, given = codes(parts)
            rest = parts.rest()
            return joined((name, rest)), tuple(code for code in given if code_text(code) != name)
        case "SN":
            # Comparator, number, separator or suffix, number: "<1.0", "1:128", "2+".
            return "".join(segment.unescape(part) for part in segment.components(raw)), ()
        case "NR":
            return " - ".join(segment.unescape(part) for part in segment.components(raw) if part), ()
        case "TS" | "DT" | "DTM":
            return shown(segment, raw, "TS"), ()
        case "TM":
            return time(segment.unescape(raw)), ()
        case "XCN" | "XPN" | "XAD" | "XTN" | "CX" | "EI" | "XON" | "PL" | "HD" | "CQ" | "CP" | "MO" | "RP" | "DR":
            return shown(segment, raw, type), ()
        case "" if len(segment.components(raw)) > 2:
            return value(segment, raw, "CE")
    # Of text, a separator that the sender forgot to escape is text too.
    return segment.unescape(raw), ()
