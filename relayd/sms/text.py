"""The text of an access code's SMS: one GSM-7 segment, and a last line that browsers fill in from.

The last line follows the WICG's "origin-bound one-time codes": ``@host #code``, so that a phone offers the code only
on our own site. There is no link in it: people learn never to click one in an SMS.
"""

from __future__ import annotations

import unicodedata

#: GSM 03.38 §6.2.1, the default alphabet in its order, 0x1B being the way to the extension table. That isn't used: each
#: of its characters counts twice.
_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7 = frozenset(_ALPHABET) - {"\x1b"}
SEGMENT = 160

_TEXTS = {
    "nl": "{name}: uw code is {code} (kenmerk {reference}). Geef deze code aan niemand.",
    "en": "{name}: your code is {code} (reference {reference}). Give this code to nobody.",
}


def code_text(language: str, name: str, code: str, reference: str, host: str) -> str:
    """The SMS; ``name`` is the sending organisation's and is shortened when the segment is full."""
    template = _TEXTS.get(language, _TEXTS["nl"])
    last_line = f"\n\n@{host} #{code}"
    fixed = template.format(name="", code=code, reference=reference)
    room = SEGMENT - len(fixed) - len(last_line)
    shown = gsm7(name)[: max(room, 0)].strip()
    start = template.format(name=shown, code=code, reference=reference) if shown else fixed.removeprefix(": ")
    return start + last_line


def gsm7(text: str) -> str:
    """``text`` in the GSM-7 alphabet on one line: accents it doesn't know are dropped, other signs become a dot."""
    shown = []
    for character in " ".join(text.split()):
        if character in GSM7:
            shown.append(character)
            continue
        base = unicodedata.normalize("NFKD", character)[0]
        shown.append(base if base in GSM7 else ".")
    return "".join(shown)


def gsm7_octets(text: str) -> bytes:
    """One octet for each sign, as SMPP carries the default alphabet; a question mark for what it doesn't know."""
    return bytes(_ALPHABET.index(sign if sign in GSM7 else "?") for sign in text)
