"""The citizen service number (burgerservicenummer, BSN)."""

from __future__ import annotations


def is_sound(number: str) -> bool:
    """Whether it passes the check of eleven; a number of eight digits has lost its leading zero."""
    if not (number.isascii() and number.isdigit() and len(number) in (8, 9)):
        return False
    digits = [int(digit) for digit in number.zfill(9)]
    total = sum(digit * weight for digit, weight in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True))
    return any(digits) and total % 11 == 0
