"""The numbers of Dutch healthcare: what can be said of one without asking its issuer."""

from __future__ import annotations

from relayd.edi.model import Identifier

_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


def bsn(value: str) -> Identifier:
    """A citizen's number, with the verdict of its check: the weighted sum is divisible by 11. Eight digits are nine
    whose leading zero got lost."""
    return Identifier("bsn", value, bsn_sound(value))


def bsn_sound(value: str) -> bool:
    if not (value.isascii() and value.isdigit() and 8 <= len(value) <= 9):
        return False
    digits = [int(digit) for digit in value.zfill(9)]
    return any(digits) and sum(map(int.__mul__, digits, _WEIGHTS)) % 11 == 0


def agb(value: str) -> Identifier:
    """A care provider's code. It has no check digit; one of another length than eight digits, give or take lost zeros
    and a kind left out, is the sender's own number."""
    return Identifier("agb" if agb_shaped(value) else "local", value)


def agb_shaped(value: str) -> bool:
    return value.isascii() and value.isdigit() and 5 <= len(value) <= 8 and value.strip("0") != ""
