"""Which numbers may get a code."""

from __future__ import annotations

from collections.abc import Collection

import phonenumbers
from phonenumbers import PhoneNumberType

#: Countries such as the United States don't tell the two apart.
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def region_of(number: str) -> str:
    """The two-letter country of an E.164 number, "" when it has none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:
        return ""


def may_get_code(number: str, countries: Collection[str]) -> bool:
    """A valid E.164 mobile number of an allowed country. Premium, shared-cost and VoIP numbers never are: sending to
    them is what SMS fraud lives on."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    return (
        phonenumbers.is_valid_number(parsed)
        and phonenumbers.number_type(parsed) in _MOBILE
        and phonenumbers.region_code_for_number(parsed) in countries
        and phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == number
    )
