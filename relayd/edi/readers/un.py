"""Segments of the United Nations' directories that the readers of letters and of laboratory reports share."""

from __future__ import annotations

import re

from relayd.edi import numbers
from relayd.edi.edifact import Segment
from relayd.edi.model import Address, Identifier
from relayd.edi.names import Dialect
from relayd.edi.readers.taking import EMPTY, Taken, iso_digits

#: Kinds of code list that Vektis issues codes in.
_VEKTIS_LISTS = frozenset({"", "CGP", "CLB", "CSP", "CPH", "CZH"})
_HOUSE_NUMBER = re.compile(r"\d+\s?[A-Za-z0-9-]{0,5}")


def taken(segment: Segment) -> Taken:
    return Taken(segment, Dialect.UN)


def identifier(parts: list[str]) -> tuple[Identifier, ...]:
    """A number with its code list and agency; a number may stand behind empty components."""
    given = [part for part in parts if part]
    if not given:
        return ()
    value, *issuer = given
    if "LZB" in issuer and {"PCL", "LZB"}.issuperset(issuer):
        return (numbers.bsn(value),)
    if issuer[-1:] == ["VEK"] and numbers.agb_shaped(value) and _VEKTIS_LISTS.issuperset(issuer[:-1]):
        return (Identifier("agb", value),)
    return (Identifier(":".join(issuer), value),)


def nad_address(nad: Taken) -> Address | None:
    """The address of NAD. Street with house number, city, region and postcode by the directory; MRPN32 gives the
    house number an element of its own and leaves out the region."""
    street, *number = nad.parts(5, 4)
    sixth, extra = nad.parts(6, 2)
    country = nad.parts(9, 1)[0]
    seventh, eighth = nad.parts(7, 1)[0], nad.parts(8, 1)[0]
    numbers_ = " ".join(filter(None, number))
    if not numbers_ and seventh and _HOUSE_NUMBER.fullmatch(sixth):
        found = Address(street, " ".join(filter(None, (sixth, extra))), "", eighth, seventh, "", country)
    else:
        found = Address(street, numbers_, "", eighth, " ".join(filter(None, (sixth, extra))), seventh, country)
    return found if found != Address() else None


def dated(dtm: Segment, near: int) -> tuple[str, str]:
    """What the date of a DTM is of, and the date: ISO 8601, or as it was written."""
    kind, value = dtm.get(1, 1), dtm.get(1, 2)
    form = dtm.get(1, 3)
    if form == "203" and len(value) == 12 and value.endswith("0000"):
        value = value[:8] if iso_digits(value[:8], near) else value  # a date whose time its writer doesn't have
    return kind, iso_digits(value, near) or value


def only_date(dtm: Segment) -> bool:
    """Nothing but a date in a known form stands in DTM."""
    return len(dtm.elements) == 1 and len(dtm.elements[0]) <= 3 and dtm.get(1, 3) in ("", "102", "203")


def literal(ftx: Segment) -> list[str]:
    """The lines of FTX; empty components at its end are none."""
    elements = ftx.elements
    found = ["" if value == EMPTY else value for value in (elements[3] if len(elements) > 3 else [])]
    while len(found) > 1 and not found[-1]:
        found.pop()
    return found


def only_text(ftx: Segment, functions: tuple[str, ...] = ("",)) -> bool:
    """Nothing but lines of text stands in FTX, besides its subject and one of ``functions``."""
    elements = ftx.elements
    if len(elements) < 4 or len(elements[0]) != 1 or len(elements[1]) > 1 or elements[1][0] not in functions:
        return False
    return not any(value not in ("", EMPTY) for parts in (elements[2], *elements[4:]) for value in parts)
