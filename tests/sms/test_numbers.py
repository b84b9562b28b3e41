"""Only valid mobile numbers of allowed countries get a code."""

from __future__ import annotations

import pytest

from relayd.sms.numbers import may_get_code, region_of

ALLOWED = ("NL", "BE", "DE", "LU")


@pytest.mark.parametrize(
    ("number", "allowed"),
    [
        ("+31612345678", True),
        ("+32470123456", True),
        ("+4915123456789", True),
        ("+447400123456", False),  # United Kingdom: not in the list
        ("+31201234567", False),  # a landline
        ("+31900123456", False),  # premium
        ("+31881234567", False),  # company number
        ("+3161234567", False),  # too short
        ("0612345678", False),  # not E.164
        ("+31 6 12345678", False),
        ("", False),
        ("+", False),
    ],
)
def test_who_gets_a_code(number, allowed):
    assert may_get_code(number, ALLOWED) is allowed


def test_region_of_a_number():
    assert region_of("+31612345678") == "NL"
    assert region_of("nonsense") == ""
