"""TXT records as an operator publishes them: in strings of at most 255 octets (RFC 1035 §3.3.14), in zone file form."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 255
_TTL: Final = 3600
_SPECIAL: Final = re.compile(rb'["\\]|[^ -~]')


def character_strings(text: str) -> tuple[bytes, ...]:
    """``text`` in UTF-8, cut into strings that a reader joins without anything between them (RFC 7208 §3.3)."""
    octets = text.encode()
    return tuple(octets[start : start + _LONGEST] for start in range(0, len(octets), _LONGEST)) or (b"",)


def zone_line(name: str, text: str) -> str:
    """The record as one line of a zone file (RFC 1035 §5.1)."""
    strings = " ".join(f'"{_SPECIAL.sub(_escaped, one).decode("ascii")}"' for one in character_strings(text))
    return f"{name}. {_TTL} IN TXT {strings}"


def txt_facts(name: str, text: str) -> dict[str, str | list[str]]:
    """The record for JSON: as a whole, and cut into its strings for those who publish through a form or an API."""
    strings = [one.decode("utf-8", "replace") for one in character_strings(text)]
    return {"name": name, "type": "TXT", "text": text, "strings": strings}


def _escaped(match: re.Match[bytes]) -> bytes:
    octet = match[0][0]
    return b"\\" + match[0] if 32 <= octet < 127 else b"\\%03d" % octet
