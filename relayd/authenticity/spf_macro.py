"""Macros of SPF records (RFC 7208 §7): text is parsed once, and expanded for each message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from relayd.errors import SyntaxInvalid

_MACRO: Final = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\}|([%_\-]))")
_ESCAPES: Final = {"%": "%", "_": " ", "-": "%20"}
#: Letters of RFC 7208 §7.2; the last three make sense in an explanation's text only.
_LETTERS: Final = frozenset("slodiphv")
_EXPLANATION_LETTERS: Final = frozenset("crt")
#: What stands outside of macros: visible ASCII without "%" (RFC 7208 §7.1). An explanation may hold spaces too.
_LITERAL: Final = re.compile(r"[!-$&-~]*")
_LITERAL_TEXT: Final = re.compile(r"[ -$&-~]*")
#: RFC 7208 §7.1: toplabel, which no number alone can be.
_TOP_LABEL: Final = re.compile(r"\.(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])\.?\Z")
_UNRESERVED: Final = "-._~"  # RFC 3986 §2.3, beside letters and digits


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro-expand: the letter, in lower case; how many parts from the right stay (0 for all); whether they are
    turned round; what separates them; whether the outcome is percent-encoded (an upper-case letter)."""

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    encoded: bool

    def apply(self, value: str) -> str:
        pieces = re.split(f"[{re.escape(self.delimiters)}]", value)
        if self.reverse:
            pieces.reverse()
        if self.parts:
            pieces = pieces[-self.parts :]
        joined = ".".join(pieces)
        return quote(joined, safe=_UNRESERVED) if self.encoded else joined


@dataclass(frozen=True, slots=True)
class MacroString:
    """A macro-string: literals and macros in their order. ``text`` is how it was written."""

    text: str
    pieces: tuple[str | Macro, ...]

    @property
    def letters(self) -> frozenset[str]:
        """The macros whose values an expansion needs."""
        return frozenset(piece.letter for piece in self.pieces if isinstance(piece, Macro))

    def expand(self, values: Mapping[str, str]) -> str:
        return "".join(piece if isinstance(piece, str) else piece.apply(values[piece.letter]) for piece in self.pieces)


def parse_macro_string(text: str, *, explanation: bool = False) -> MacroString:
    """``text`` as a macro-string, or with ``explanation`` as an explain-string. Raises SyntaxInvalid."""
    literal, letters = (_LITERAL_TEXT, _LETTERS | _EXPLANATION_LETTERS) if explanation else (_LITERAL, _LETTERS)
    pieces: list[str | Macro] = []
    at = 0
    while at < len(text):
        if plain := literal.match(text, at):
            at = plain.end()
            if plain[0]:
                pieces.append(plain[0])
        if at == len(text):
            break
        match = _MACRO.match(text, at)
        if match is None:
            raise SyntaxInvalid("a character or macro that can't stand there")
        pieces.append(_ESCAPES[match[5]] if match[5] else _macro(match, letters))
        at = match.end()
    return MacroString(text, tuple(pieces))


def parse_domain_spec(text: str) -> MacroString:
    """``text`` as a domain-spec (RFC 7208 §7.1): it ends in a top label or in a macro. Raises SyntaxInvalid."""
    spec = parse_macro_string(text)
    if not spec.pieces:
        raise SyntaxInvalid("the domain is empty")
    if isinstance(spec.pieces[-1], str) and not _TOP_LABEL.search(text):
        raise SyntaxInvalid("the domain doesn't end in a top-level domain")
    return spec


def _macro(match: re.Match[str], letters: frozenset[str]) -> Macro:
    letter, digits = match[1].lower(), match[2]
    if letter not in letters:
        raise SyntaxInvalid("a macro letter that can't stand there")
    if digits and not int(digits[:9]):
        raise SyntaxInvalid("a macro that keeps no part at all")
    return Macro(letter, int(digits[:9] or 0), bool(match[3]), match[4] or ".", match[1].isupper())
