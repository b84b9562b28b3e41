"""Passwords for messages that are passed on, and references: made, written and read as people do."""

from __future__ import annotations

import hmac
import re
from typing import Final

from relayd.delivery.installation import digest

#: Crockford's alphabet: no I, L, O and U.
_SIGNS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH: Final = 12
REFERENCE_LENGTH: Final = 6
_BLANKS: Final = re.compile(r"[\s\-‐‑–—.]+")
_LOOK_ALIKE: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})


def password_of(browser: str, form: str) -> str:
    """60 random bits in three groups: "7K3M-Q9ZT-04HW".

    They come from the browser's cookie, which nobody keeps: the same form, sent again, shows the same password to that
    browser, and nobody else can make it.
    """
    signs = _signs(hmac.digest(browser.encode(), f"password {form}".encode(), "sha256"), LENGTH)
    return "-".join(signs[start : start + 4] for start in range(0, LENGTH, 4))


def plain(entered: str) -> str:
    """What was entered as the key is made of it: blanks, dashes and case don't count, nor look-alike letters."""
    return _BLANKS.sub("", entered).upper().translate(_LOOK_ALIKE)[:100]


def reference_of(grant_id: str) -> str:
    """Six signs by which two people know that they speak of the same message. It is no secret."""
    return _signs(digest(f"reference {grant_id}")[:4], REFERENCE_LENGTH)


def _signs(octets: bytes, count: int) -> str:
    number = int.from_bytes(octets, "big")
    return "".join(_SIGNS[number >> shift & 31] for shift in range(0, 5 * count, 5))
