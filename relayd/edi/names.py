"""What the segments and elements of EDIFACT messages are called, and the texts that their reader writes.

The names are ours, in English, and are keys of translation; :func:`labels` lists all of them. Formats (an..70) are
those of the Dutch messages of version 1; they serve the check, never the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from relayd.edi.model import Kind

_RULE = re.compile(r"(.*?)(?: ((?:an|a|n)(?:\.\.)?\d+))?( !)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """An element or component: its name, its format ("an..70"), and whether it must be there."""

    name: str
    format: str = ""
    required: bool = False
    components: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentRule:
    name: str
    elements: tuple[Rule, ...] = ()


class Dialect(StrEnum):
    """Families of messages whose segments have the same names and other meanings."""

    VERSION_1 = "version 1"
    #: Everything that follows the directories of the United Nations.
    UN = "un"


def _rule(written: str, components: tuple[Rule, ...] = ()) -> Rule:
    match = _RULE.fullmatch(written)
    assert match is not None  # the pattern matches any line
    return Rule(match[1], match[2] or "", bool(match[3]), components)


def _composite(written: str, *components: str) -> Rule:
    return _rule(written, tuple(map(_rule, components)))


def _segment(name: str, *elements: str | Rule) -> SegmentRule:
    return SegmentRule(name, tuple(_rule(element) if isinstance(element, str) else element for element in elements))


_STREET = ("Street an..30", "House number an..8", "P.O. box an..8", "City a..20 !", "Postcode an..9", "Region a..20")
_ADDRESS = _composite("Address", *_STREET, "Country a..20")
_DATE = _composite("Date !", "Year n2 !", "Month n2 !", "Day n2 !")
_PARTY = (
    "Person a..70 !",
    "Department an..70",
    "Organisation a..70",
    _ADDRESS,
    "Telephone an..20",
)
_LINE = "Text an..70"

_SERVICE = {
    "UNB": _segment(
        "Interchange header",
        _composite("Syntax", "Syntax", "Syntax version"),
        _composite("Sender", "Sender", "Qualifier", "Routing address"),
        _composite("Receiver", "Receiver", "Qualifier", "Routing address"),
        _composite("Prepared", "Date", "Time"),
        "Reference",
        _composite("Password", "Password", "Qualifier"),
        "Application",
        "Priority",
        "Acknowledgement asked for",
        "Agreement",
        "Test",
    ),
    "UNG": _segment("Group header"),
    "UNH": _segment(
        "Message header",
        "Reference",
        _composite("Type", "Type", "Version", "Release", "Agency", "Association code"),
        "Label",
    ),
    "UNT": _segment("Message trailer", "Number of segments", "Reference"),
    "UNE": _segment("Group trailer", "Number of messages", "Reference"),
    "UNZ": _segment("Interchange trailer", "Number of messages", "Reference"),
    "UNS": _segment("Section", "Section"),
}

_VERSION_1 = {
    "ZKH": _segment("Institution", "Institution an..70 !", _ADDRESS, "Telephone an..20", "Hospital code n3"),
    "GGA": _segment("Sender", *_PARTY),
    "GGO": _segment("Receiver", *_PARTY),
    "PID": _segment(
        "Patient",
        _composite("Date of birth !", "Year n4 !", "Month n2", "Day n2"),
        "Sex a1 !",
        _composite(
            "Name",
            "Surname a..30",
            "Prefix a..8",
            "Birth name a..30",
            "Prefix of the birth name a..8",
            "First name a..12",
            "Initials a..8",
        ),
        "Sender's reference an..12",
        "BSN or receiver's reference an..12",
    ),
    "PAD": _segment("Patient's address", _ADDRESS, "Telephone an..20"),
    "BLG": _segment("Blood group", "Blood group an..20"),
    "ART": _segment(
        "Practitioner",
        "Kind of practitioner a1",
        "Practitioner's code n..9",
        _composite("Name", "Surname a..30", "Prefix a..8", "Initials a..8", "Title a..10"),
        _ADDRESS,
        "Telephone an..20",
    ),
    "AFD": _segment("Department", "Department an..70", "Telephone an..20"),
    "ARA": _segment("Contact", "Person an..40", "Telephone an..20"),
    "KOP": _segment("Copy", "Copy a..4", *(["Person a..40"] * 5)),
    "DET": _segment("Date and time", _DATE, _composite("Time", "Hour n2", "Minute n2")),
    "IDE": _segment("Sample", "Complete a1", "Laboratory number an..9", "Specimen an..12", "Volume an..8"),
    "OPM": _segment("Remark on the sample", _LINE),
    "OPB": _segment("Remark on the result", _LINE),
    "OPU": _segment("Remark on the test to come", _LINE),
    "COM": _segment("Remark of the laboratory", _LINE),
    "TXT": _segment("Text", _LINE),
    "VRG": _segment("Question", _LINE),
    "VRS": _segment("Report", _LINE),
    "CON": _segment("Conclusion", _LINE),
    "ADD": _segment("Addendum", _LINE),
    "SEC": _segment("Section", "Section an..30"),
    "BEP": _segment(
        "Result",
        "Kind of line n1",
        "Test an..30 !",
        "Result an..9",
        "Changed n1",
        "Unit an..9",
        "Indication an1",
        "Lower limit an..9",
        "Upper limit an..9",
        "Test code an..10",
    ),
    "NUB": _segment("Test to come", "Test an..30 !"),
    "SPE": _segment("Specialist", "Speciality a..30", "Person a..40", "Specialist's code n6"),
    "REF": _segment("Reference", "Reference an..12"),
    "OND": _segment("Examination", "Examination an..70", "Examination code n..7"),
}

_NAME_AND_CODE = ("Code", "Code list", "Agency", "Name")
_TEXTS = _composite("Text", *(["Text"] * 5))
_UN = {
    "ADR": _segment(
        "Address", "Use", _composite("Address", "Form", "Street", "House number"), "City", "Postcode", "Country"
    ),
    "AGR": _segment("Agreement"),
    "APD": _segment("Transport details"),
    "BGM": _segment(
        "Beginning of message", _composite("Kind of message", "Kind of message", "Code list", "Agency", "Name"),
        "Message number", "Function", "Response",
    ),
    "CIN": _segment("Clinical information", "Kind", _composite("Information", *_NAME_AND_CODE)),
    "COM": _segment("Contact", _composite("Contact", "Number", "Kind")),
    "CTA": _segment("Contact person", "Function", _composite("Contact", "Department code", "Department")),
    "CUX": _segment("Currency"),
    "DTM": _segment("Date and time", _composite("Date and time", "Kind of date", "Date and time", "Form")),
    "ERC": _segment("Error"),
    "FCA": _segment("Payment", "Payer", _composite("Account", "Account", "Code list", "Agency", "Policy number")),
    "FTX": _segment("Free text", "Subject", "Function", _composite("Text code", *_NAME_AND_CODE), _TEXTS, "Language"),
    "GIS": _segment("Indicator"),
    "IFT": _segment("Free text", "Subject", "Text"),
    "INV": _segment("Test", "Kind of test", _composite("Test", "Test code", "Code list", "Agency", "Test")),
    "LIN": _segment("Line"),
    "MOA": _segment("Amount"),
    "MSG": _segment("Message"),
    "NAD": _segment(
        "Name and address", "Role", _composite("Number", "Number", "Code list", "Agency"), "Name and address", "Name",
        _composite("Street", "Street", "House number"), "City", "Region", "Postcode", "Country",
    ),
    "ODI": _segment("Origin and destination"),
    "PAT": _segment("Payment terms"),
    "PDI": _segment("Person's data", "Sex"),
    "PIA": _segment("Further product number"),
    "PID": _segment(
        "Patient", "Role", _composite("Number", "Number", "Code list", "Agency"),
        _composite("Name", "Form", "Surname", "Initials"),
    ),
    "PNA": _segment("Person's name", "Role", _composite("Number", "Number", "Code list", "Agency")),
    "PRI": _segment("Price"),
    "QTY": _segment("Quantity"),
    "RFF": _segment("Reference", _composite("Reference", "Kind of reference", "Reference")),
    "RND": _segment("Reference range", "Kind of range", "Lower limit", "Upper limit"),
    "RSL": _segment(
        "Result", "Kind of result", "Result", "Range", _composite("Unit", "Unit", "Code list", "Agency", "Unit"),
        "Indication",
    ),
    "SEQ": _segment("Sequence"),
    "SPC": _segment("Specimen", "Kind of specimen", _composite("Specimen", *_NAME_AND_CODE)),
    "SPR": _segment("Service provider", "Kind of provider", "Kind of service"),
    "STS": _segment("Status", "Kind of status", "Status"),
    "TAX": _segment("Tax"),
    "TVL": _segment("Journey"),
}  # fmt: skip

#: The messages of version 1 and what they are for; also MEDSPE and MEDVRY of version 3, and MEDRPT.
KINDS = {
    "MEDLAB": Kind.LABORATORY,
    "MEDVRI": Kind.LETTER,
    "MEDSPE": Kind.LETTER,
    "MEDVRY": Kind.LETTER,
    "MEDRAD": Kind.RADIOLOGY,
    "MEDRPT": Kind.LABORATORY,
}


class Label:
    """Labels and titles that readers write, where no name of an element serves."""

    FURTHER = "Further data"
    COUNTER = "Counter"
    PRACTITIONER = "Kind of practitioner"
    PRACTITIONERS_CODE = "AGB of the practitioner"
    COPY = "Copy"
    CHANGED = "Changed"
    LINE = "Kind of line"
    COMPLETE = "Complete"
    VOLUME = "Volume"
    BLOOD = "Blood group"
    SENDERS_REFERENCE = "Sender's reference"
    RECEIVERS_REFERENCE = "Receiver's reference"
    REFERENCE = "Reference"
    EXAMINATION = "Examination"
    EXAMINATION_CODE = "Examination code"
    QUESTION = "Question"
    REPORT = "Report"
    CONCLUSION = "Conclusion"
    ADDENDUM = "Addendum"
    REMARK = "Remark of the laboratory"
    SUMMARY = "Summary"
    MESSAGE = "Message"
    ORDER = "Order"
    STATUS = "Status"
    ORDERED = "Ordered"
    REPORTED = "Reported"
    LABORATORY_NUMBER = "Laboratory number"
    RECEIVED = "Received"
    ORDER_NUMBER = "Order number"
    POLICY = "Policy number"
    FAX = "Fax"
    EMAIL = "E-mail"
    ROLE = "Role"
    DATE = "Date and time"
    NAME_PART = "Part of the name"
    KIND_OF_RESULT = "Kind of result"
    INSURANCE_NUMBER = "Social insurance number"


class Says:
    """The texts of findings."""

    DOS = "The text is in a DOS code page (read as %(set)s)"
    BROKEN_UTF8 = "The text is %(set)s with octets that are none"
    UTF_16 = "The message is in UTF-16, which hardly any system can read"
    NOTHING = "There is no EDIFACT message"
    OTHER_MESSAGE = "A message of another kind is in the same file; it is shown as text"
    OUTSIDE = "Text stands outside of the interchange"
    NO_UNB = "The message has no envelope: UNB is missing"
    NO_UNZ = "The interchange has no end: UNZ is missing"
    NO_UNH = "Segments stand outside of any message: UNH is missing"
    NO_UNT = "The message has no end: UNT is missing"
    NO_MESSAGE = "The interchange holds no message"
    UNA_SHORT = "UNA has five characters instead of six"
    UNA_BAD = "The separators of UNA can't be told apart; the usual ones are used"
    NO_TERMINATOR = "Nothing ends the segment"
    NOT_RELEASED = "A character that ends segments stands in the text without release"
    CUT = "The file ends in the middle of the segment"
    NO_SEGMENT = "This is no segment"
    EMPTY = "The segment is empty"
    UNT_COUNT = "UNT counts %(said)s segments where there are %(found)s"
    UNT_REFERENCE = "UNT has reference %(said)s where UNH has %(found)s"
    UNZ_COUNT = "UNZ counts %(said)s messages where there are %(found)s"
    UNZ_REFERENCE = "UNZ has reference %(said)s where UNB has %(found)s"
    UNKNOWN_TYPE = "The type of message %(type)s is not known; it is shown as it stands"
    UNKNOWN_SEGMENT = "The segment %(tag)s is not known in this message"
    ORDER = "%(tag)s can't stand behind %(previous)s"
    MISSING_SEGMENT = "The segment %(tag)s is missing"
    MISSING = "%(name)s is missing"
    TOO_LONG = "%(name)s is longer than %(format)s"
    WRONG_FORM = "%(name)s is not of the form %(format)s"
    FURTHER = "There is more in the segment than the message knows"
    NOT_JOINED = "A separator stands in the text without release"
    BAD_DATE = "%(name)s is no date or time"
    BAD_BSN = "The BSN fails its check"
    BAD_AGB = "The code is no AGB code"
    BAD_CODE = "%(name)s has a value that is not known"
    TERMINATOR_LOST = "A line of the text looks like a segment: the character that ends one may be missing"


#: Coded values that are shown in words, by the name of their element.
VALUES = {
    "Kind of practitioner": {"H": "General practitioner", "S": "Specialist"},
    "Copy": {"VAN": "From", "NAAR": "To"},
}


def segment_rule(dialect: Dialect, tag: str) -> SegmentRule | None:
    """What ``tag`` is in ``dialect``; None where it isn't known."""
    own = _VERSION_1 if dialect is Dialect.VERSION_1 else _UN
    return own.get(tag) or _SERVICE.get(tag)


@lru_cache(4096)
def element_name(dialect: Dialect, tag: str, element: int, component: int = 1) -> str:
    """The name of a value by its position, or ""."""
    rule = segment_rule(dialect, tag)
    if rule is None or not 0 < element <= len(rule.elements):
        return ""
    found = rule.elements[element - 1]
    if 0 < component <= len(found.components):
        return found.components[component - 1].name
    return found.name if component == 1 or not found.components else ""


def labels() -> frozenset[str]:
    """Every text of this module that people see: the keys of its translations."""
    return frozenset(
        {
            *_texts(Label),
            *_texts(Says),
            *_names(),
            *(text for values in VALUES.values() for text in values.values()),
        }
    )


def _texts(of: type) -> Iterator[str]:
    return (text for name, text in vars(of).items() if name.isupper())


def _names() -> Iterator[str]:
    for table in (_SERVICE, _VERSION_1, _UN):
        for segment in table.values():
            yield segment.name
            for element in segment.elements:
                yield element.name
                yield from (component.name for component in element.components)
