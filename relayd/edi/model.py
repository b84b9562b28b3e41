"""What an EDI message says, in one shape for every format: what the readers make and the views show.

Values are text as the sender wrote it, unescaped and decoded, never computed or rounded. ``""`` is "not given".
Labels and the texts of findings are English and are the keys of their translations. Nothing of a message is left
out of its :class:`Document`: what a reader has no place for stands in an :class:`Unread` block, where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Format(StrEnum):
    """How a message is written."""

    EDIFACT = "edifact"
    HL7 = "hl7"
    #: The lossless XML of an EDIFACT interchange.
    EDI_XML = "edi-xml"
    #: HL7's own XML of version 2 (namespace urn:hl7-org:v2xml).
    V2_XML = "v2.xml"
    #: Any other XML: shown as a tree.
    XML = "xml"


class Kind(StrEnum):
    """What a message is for, which decides how it is laid out."""

    LETTER = "letter"
    LABORATORY = "laboratory"
    RADIOLOGY = "radiology"
    ORDER = "order"
    PATIENT = "patient"
    ACKNOWLEDGEMENT = "acknowledgement"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How bad a finding is. An error may have cost meaning; a warning is a broken rule that cost none."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file: ``line`` and ``segment`` count from 1 (0: none), ``element`` is as the format counts it
    ("3.2" in EDIFACT, "5[2].1" in HL7 with the repetition in brackets)."""

    line: int = 0
    segment: int = 0
    tag: str = ""
    element: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as its standard wants. ``text`` may name ``values`` as %(name)s."""

    severity: Severity
    text: str
    place: Place = Place()
    values: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text % self.values if self.values else self.text


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number with its issuer: "bsn", "agb", "uzovi", or the sender's own word. ``sound`` is its check digit's
    verdict, None where it has none."""

    system: str
    value: str
    sound: bool | None = None


@dataclass(frozen=True, slots=True)
class PersonName:
    """The parts of a Dutch name: own is the birth name; each has a prefix of its own ("van der")."""

    own: str = ""
    own_prefix: str = ""
    partner: str = ""
    partner_prefix: str = ""
    initials: str = ""
    given: str = ""
    title: str = ""
    #: The whole name as the sender wrote it, where it isn't in parts.
    written: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    street: str = ""
    number: str = ""
    box: str = ""
    postcode: str = ""
    city: str = ""
    region: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A label with a value of the message. ``label`` is a key of translation; ``place`` is where it stands.

    ``meaning`` is what a coded value says, a key of translation, or "" ("NW" means "New order")."""

    label: str
    value: str
    place: Place = Place()
    meaning: str = ""


class Role(StrEnum):
    """What a party is to the message."""

    SENDER = "sender"
    RECEIVER = "receiver"
    COPY = "copy"
    REQUESTER = "requester"
    PRACTITIONER = "practitioner"
    LABORATORY = "laboratory"
    PHARMACY = "pharmacy"
    INSURER = "insurer"
    CONTACT = "contact"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends, receives or is otherwise concerned, except the patient."""

    role: Role
    name: PersonName | None = None
    organisation: str = ""
    department: str = ""
    speciality: str = ""
    address: Address | None = None
    telephones: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    others: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """``birth_date`` is ISO 8601, as exact as the message is ("1961", "1961-04-02"), or the sender's text where it
    can't be that; ``sex`` is "male", "female", "other", "unknown" or the sender's text."""

    name: PersonName | None = None
    birth_date: str = ""
    sex: str = ""
    identifiers: tuple[Identifier, ...] = ()
    address: Address | None = None
    telephones: tuple[str, ...] = ()
    others: tuple[Pair, ...] = ()


class Flag(StrEnum):
    """How a result stands to its reference range; the sender's word, never computed."""

    NONE = ""
    LOW = "low"
    HIGH = "high"
    VERY_LOW = "very low"
    VERY_HIGH = "very high"
    ABNORMAL = "abnormal"
    NORMAL = "normal"
    #: A microbe to an antibiotic.
    SUSCEPTIBLE = "susceptible"
    RESISTANT = "resistant"
    #: One that we don't know: ``Result.flag_text`` has it.
    OTHER = "other"


class Status(StrEnum):
    """How final a result or a message is."""

    NONE = ""
    FINAL = "final"
    PRELIMINARY = "preliminary"
    CORRECTED = "corrected"
    PENDING = "pending"
    DELETED = "deleted"
    NOT_DONE = "not done"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded meaning: ``system`` as in :class:`Identifier` ("nhg", "loinc", "snomed" or the sender's word)."""

    value: str
    system: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a laboratory's table. ``values`` has one text for each repetition; a limit is text ("3,5").

    ``artefacts`` are lines that the sender's system wrote around a value too long for its field ("Zie onder"), shown
    in lighter type. ``notes`` are the comments that belong to this result, a line each.
    """

    name: str
    values: tuple[str, ...] = ()
    unit: str = ""
    low: str = ""
    high: str = ""
    #: The reference range where it isn't two limits.
    range: str = ""
    flag: Flag = Flag.NONE
    flag_text: str = ""
    status: Status = Status.NONE
    codes: tuple[Code, ...] = ()
    notes: tuple[str, ...] = ()
    artefacts: tuple[str, ...] = ()
    #: When it was observed, where that differs from its table's time.
    observed: str = ""
    others: tuple[Pair, ...] = ()
    place: Place = Place()

    @property
    def is_bare(self) -> bool:
        """It has a name and nothing else: a heading, in forms that have none of their own."""
        is_final = self.status in (Status.NONE, Status.FINAL)
        return is_final and bool(self.name) and self == Result(self.name, status=self.status, place=self.place)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading over the results or text that follow."""

    text: str
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Text:
    """Lines as the sender broke them; ``""`` is an empty line. ``title`` is a key of translation, or "".

    ``flowing``: the breaks are the sender's line length, not the author's: a view may join the lines of a paragraph.
    """

    lines: tuple[str, ...]
    title: str = ""
    flowing: bool = False
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Fields:
    """Labels with values that have no other place: an order's numbers, an acknowledgement's codes."""

    pairs: tuple[Pair, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A laboratory's table: one sample or one group of an order. Dates and times are ISO 8601 as exact as given, or
    the sender's text. ``complete`` is the sender's word on whether more will follow."""

    rows: tuple[Result | Heading, ...]
    title: str = ""
    sampled: str = ""
    reported: str = ""
    specimen: str = ""
    number: str = ""
    complete: bool | None = None
    status: Status = Status.NONE
    notes: tuple[str, ...] = ()
    others: tuple[Pair, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Embedded:
    """A document inside the message. ``data`` is what it holds, decoded; None where that failed (a finding says
    why), and then ``written`` is the field as it came."""

    name: str
    media_type: str
    data: bytes | None
    written: str = ""
    others: tuple[Pair, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Element:
    """One value of a segment with its position ("3.2", "5[2].1") and its name, a key of translation or ""."""

    position: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A segment that the reader has no better place for. ``name`` is the segment's, a key of translation or "".

    ``written`` is the whole segment where it can't be taken apart.
    """

    tag: str
    name: str
    elements: tuple[Element, ...] = ()
    written: str = ""
    place: Place = Place()


Block = Heading | Text | Fields | Results | Embedded | Unread


@dataclass(frozen=True, slots=True)
class Document:
    """One message; or, where a message is of several patients, one patient's part of it (``part`` of ``parts``)."""

    format: Format
    kind: Kind
    #: "MEDLAB", "MEDRPT", "ORU^R01", or an XML document's root element.
    type: str
    #: "1", "D:93A:UN:MRPN32", "2.5".
    version: str = ""
    #: The sender's reference of the message: UNH's, MSH-10.
    reference: str = ""
    #: The label that a sender gave the message (UNH 0068).
    label: str = ""
    #: ISO 8601 as exact as given, or the sender's text.
    dated: str = ""
    #: The numbers or names of the sending and receiving systems: of UNB; MSH-3 to MSH-6 as "application^facility".
    sender: str = ""
    receiver: str = ""
    parties: tuple[Party, ...] = ()
    patient: Patient | None = None
    blocks: tuple[Block, ...] = ()
    status: Status = Status.NONE
    #: The sender says it is a test.
    test: bool = False
    findings: tuple[Finding, ...] = ()
    part: int = 1
    parts: int = 1
    #: The octets of the file that are this message, envelope excluded: ``data[start:end]``.
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is in one file. ``outside`` is text before, between and behind the interchanges, such as a mail's
    footer; findings that concern the file or an interchange stand here, those of one message with it.
    ``envelope`` has what the interchanges' own segments say (UNB, UNZ, FHS, BHS and so on) and no document shows."""

    format: Format
    documents: tuple[Document, ...]
    #: The character set that the octets were read in, as Python names it.
    charset: str
    findings: tuple[Finding, ...] = ()
    outside: tuple[Text, ...] = ()
    envelope: tuple[Unread, ...] = ()
