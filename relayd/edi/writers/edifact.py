"""What all EDIFACT messages of version 1 have in common when they are written: the envelope and the composites.

ISO 8859-1, as every receiver reads it; UNA is left out, since the separators are the usual ones. Lines are wrapped
before they are escaped, so that the release characters don't count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from relayd.edi import charset
from relayd.edi.edifact import Syntax
from relayd.edi.model import Address, Document, Party, Patient, PersonName
from relayd.edi.names import Label
from relayd.edi.writers.envelope import Envelope
from relayd.edi.writers.remarks import written_name

#: What of a patient stands in PID, and in BLG.
PATIENT_LABELS: Final = (Label.BLOOD, Label.SENDERS_REFERENCE, Label.RECEIVERS_REFERENCE)
#: The longest line of free text.
LINE: Final = 70
_SYNTAX: Final = Syntax()
_BREAKS = re.compile(r"\r\n|\r|\n")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f]+")
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::\d\d(?:\.\d+)?)?)?)?)?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII
)


class Writer:
    """Collects the segments of an interchange."""

    def __init__(self, sender: str, receiver: str, dated: str, reference: str, *, test: bool = False) -> None:
        self._segments: list[bytes] = []
        self._messages = 0
        self._start = 0
        self._message = ""
        self._reference = reference[:14]
        self._changed: dict[str, None] = {}
        day = iso_parts(dated)
        time = (f"{day[0][2:]}{day[1]}{day[2]}", f"{day[3]}{day[4]}") if day else ("", "")
        more = ["", "", "", "", "", "1"] if test else []
        self.add("UNB", ("UNOA", "1"), sender[:35], receiver[:35], time, self._reference, *more)

    def begin(self, kind: str, reference: str, label: str = "") -> None:
        """Start a message of version 1."""
        self._messages += 1
        self._start = len(self._segments)
        self._message = (reference or str(self._messages))[:14]
        self.add("UNH", self._message, (kind, "1"), label[:35])

    def add(self, tag: str, *elements: str | Sequence[str], counters: Iterable[int] = ()) -> None:
        """A segment; empty elements and components at its end are left out."""
        parts: list[list[str]] = [[tag, *map(str, counters)]]
        for element in elements:
            components = [self._plain(value) for value in ([element] if isinstance(element, str) else element)]
            while len(components) > 1 and not components[-1]:
                components.pop()
            parts.append(components or [""])
        while len(parts) > 1 and parts[-1] == [""]:
            parts.pop()
        self._segments.append(_SYNTAX.join(parts) + b"'\r\n")

    def end(self) -> None:
        """End the message."""
        self.add("UNT", str(len(self._segments) - self._start + 1), self._message)

    def finish(self) -> tuple[bytes, tuple[str, ...]]:
        """The interchange, and the characters that had to be written otherwise."""
        self.add("UNZ", str(self._messages), self._reference)
        return b"".join(self._segments), tuple(self._changed)

    def _plain(self, value: str) -> str:
        octets, changed = charset.encode(_UNPRINTABLE.sub(" ", value))
        self._changed.update(dict.fromkeys(changed))
        return octets.decode("iso-8859-1")


def shown(text: str) -> str:
    """``text`` as it will be written, unescaped: this is what has a length."""
    return text if text.isascii() else charset.encode(text)[0].decode("iso-8859-1")


def cut(text: str, most: int) -> str:
    """What fits into a field."""
    return text if len(shown(text)) <= most else shown(text)[:most].rstrip()


def wrap(text: str, width: int = LINE) -> list[str]:
    """Lines of at most ``width`` characters. Lines that fit stay as they are; longer ones break at a space.

    A word that is longer than a line is cut. Length counts characters as they are written, transliterated.
    """
    lines: list[str] = []
    for line in _BREAKS.split(text):
        # The characters themselves are kept as long as the line fits, so that what is written otherwise can be said.
        rest = line if len(shown(line)) <= width else shown(line)
        while len(rest) > width:
            at = rest.rfind(" ", 0, width + 1)
            if not rest[: max(at, 0)].strip():
                lines.append(rest[:width])
                rest = rest[width:]
            else:
                lines.append(rest[:at])
                rest = rest[at + 1 :]
        lines.append(rest)
    return lines


def iso_parts(when: str) -> tuple[str, str, str, str, str] | None:
    """Year, month, day, hour and minute, as far as given; None for what is no ISO 8601."""
    match = _DATE.fullmatch(when)
    return (match[1], match[2] or "", match[3] or "", match[4] or "", match[5] or "") if match else None


def date(when: str) -> tuple[str, ...]:
    """YY, MM and DD; the text itself where it is no date."""
    parts = iso_parts(when)
    return (parts[0][2:], *parts[1:3]) if parts else (when,)


def time(when: str) -> tuple[str, ...]:
    """HH and MM, or nothing."""
    parts = iso_parts(when)
    return parts[3:] if parts else ()


def address(of: Address | None) -> tuple[str, ...]:
    """Street, number, box, city, postcode, region, country."""
    if of is None:
        return ()
    return (of.street, of.number, of.box, of.city, of.postcode, of.region, of.country)


def patient_name(name: PersonName | None, sex: str) -> tuple[str, ...]:
    """Surnames with their prefixes, given name, initials. A woman's partner's name stands first, and a man's own."""
    if name is None:
        return ()
    own = (name.own or ("" if name.partner else name.written), name.own_prefix)
    partner = (name.partner, name.partner_prefix)
    is_first = bool(name.partner) and sex != "male"
    return (*(partner if is_first else own), *(own if is_first else partner), name.given, name.initials)


def add_patient(writer: Writer, patient: Patient | None) -> None:
    """PID and PAD."""
    if patient is None:
        return
    born = iso_parts(patient.birth_date)
    birth_date = (patient.birth_date,) if born is None else tuple(part for part in born[:3] if part)
    sex = {"male": "M", "female": "V", "other": "O", "unknown": ""}.get(patient.sex, patient.sex)
    numbers = [each.value for each in patient.identifiers if each.system != "bsn"]
    others = {pair.label: pair.value for pair in patient.others}
    bsn = next((each.value for each in patient.identifiers if each.system == "bsn"), "")
    own = others.get(Label.SENDERS_REFERENCE) or next(iter(numbers), "")
    other = f"BSN{bsn}" if bsn else others.get(Label.RECEIVERS_REFERENCE) or next(iter(numbers[1:]), "")
    writer.add("PID", birth_date, sex, patient_name(patient.name, patient.sex), own, other)
    telephone = patient.telephones[0] if patient.telephones else ""
    if patient.address or telephone:
        writer.add("PAD", address(patient.address), telephone)


def party_elements(party: Party) -> tuple[str | Sequence[str], ...]:
    """Person, department, organisation, address and telephone, as in GGA and GGO."""
    telephone = party.telephones[0] if party.telephones else ""
    person = written_name(party.name) or party.organisation
    return (person, party.department, party.organisation, address(party.address), telephone)


def number_of(party: Party) -> str:
    """Its AGB code, or the first number that it has."""
    numbers = {identifier.system: identifier.value for identifier in reversed(party.identifiers)}
    return numbers.get("agb", next(iter(numbers.values()), ""))


def open_interchange(documents: Sequence[Document], envelope: Envelope) -> Writer:
    """An interchange for documents; the first one says what the envelope leaves open."""
    first = documents[0]
    sender, receiver = envelope.sender or system(first.sender), envelope.receiver or system(first.receiver)
    dated, reference = first.dated or envelope.dated, first.reference or envelope.reference or "1"
    return Writer(sender, receiver, dated, reference, test=first.test)


def system(name: str) -> str:
    """The number of a system in "application^facility": the facility's, where it has one."""
    application, _, facility = name.partition("^")
    return facility or application
