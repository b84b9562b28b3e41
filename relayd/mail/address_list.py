"""Address lists of header fields (RFC 5322 §3.4, groups included; RFC 6532 for what isn't ASCII).

Who may send as whom is decided on what comes out of here, so this parser never guesses. An element that two mail
programs could read differently (a bare @ in a display name, white space or comments within an address, a source
route, an encoded word that stands for another address) is reported as a defect, and gives no address unless there is
one that all readings share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relayd.errors import SyntaxInvalid
from relayd.mail.address import ATEXT, Address, make_address
from relayd.mail.words import decode_words, has_encoded_word

_TOKEN = re.compile(
    rf"""(?P<space>[ \t]++)
       | (?P<atom>[{ATEXT}]++)
       | "(?P<quoted>(?:[^"\\]|\\.)*)"
       | (?P<literal>\[[^\[\]\\]*+\])
       | (?P<special>[<>@,:;.()])""",
    re.VERBOSE,
)
_COMMENT_PART = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)
#: Tried only where a word begins, and never given back: text without an @ takes no longer than its length.
_SHOWN_ADDRESS = re.compile(r"(?<![^\s<>()\[\],;:\"@])[^\s<>()\[\],;:\"@]++@[^\s<>()\[\],;:\"@]+")

# Defects.
NOT_AN_ADDRESS: Final = "not-an-address"
UNREADABLE: Final = "unreadable-characters"
OPEN_COMMENT: Final = "open-comment"
OPEN_GROUP: Final = "open-group"
ENCODED_ADDRESS: Final = "encoded-word-in-address"
HIDDEN_ADDRESS: Final = "encoded-word-hides-address"


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind`` is atom, quoted, literal, bad, or a special itself. ``apart``: white space or a comment precedes it."""

    kind: str
    text: str
    apart: bool


def parse_address_list(text: str) -> tuple[list[Address], list[str]]:
    """The addresses of an unfolded field value, in their order, and what is wrong with the rest."""
    tokens, defects = _tokens(text)
    reader = _Reader(tokens, defects)
    reader.read()
    return reader.addresses, reader.defects


def _tokens(text: str) -> tuple[list[_Token], list[str]]:
    tokens: list[_Token] = []
    defects: list[str] = []
    position, apart, open_quote = 0, False, False
    while position < len(text):
        # Behind a quote that never closes none does, and looking for its end again and again would take for ever.
        is_quote = text[position] == '"'
        match = None if open_quote and is_quote else _TOKEN.match(text, position)
        if match is None:
            open_quote = open_quote or is_quote
            defects.append(UNREADABLE)
            tokens.append(_Token("bad", text[position], apart))
            position, apart = position + 1, False
            continue
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            apart = True
        elif match[0] == "(":
            position, comment = _comment(text, position)
            if comment is None:
                defects.append(OPEN_COMMENT)
            elif has_encoded_word(comment) and _SHOWN_ADDRESS.search(decode_words(comment)):
                defects.append(HIDDEN_ADDRESS)
            apart = True
        else:
            tokens.append(_Token(match[0] if kind == "special" else kind, match[kind], apart))
            apart = False
    return tokens, defects


def _comment(text: str, start: int) -> tuple[int, str | None]:
    """Where the comment that opened before ``start`` ends, and its text; None when it never closes."""
    depth = 1
    for match in _COMMENT_PART.finditer(text, start):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return match.end(), text[start : match.start()]
    return len(text), None


class _Reader:
    """Reads the tokens of one field, element by element."""

    def __init__(self, tokens: list[_Token], defects: list[str]) -> None:
        self.addresses: list[Address] = []
        self.defects = defects
        self._tokens = tokens

    def read(self) -> None:
        element: list[_Token] = []
        in_group = False
        angle = False
        for token in self._tokens:
            if token.kind == "<":
                angle = True
            elif token.kind == ">":
                angle = False
            if token.kind == "," and not angle:
                self._element(element)
                element = []
            elif token.kind == ":" and not angle and not in_group:
                self._group_name(element)
                element, in_group = [], True
            elif token.kind == ";" and not angle and in_group:
                self._element(element)
                element, in_group = [], False
            else:
                element.append(token)
        self._element(element)
        if in_group:
            self.defects.append(OPEN_GROUP)

    def _group_name(self, name: list[_Token]) -> None:
        if not name or any(token.kind not in ("atom", "quoted", ".") for token in name):
            self.defects.append(NOT_AN_ADDRESS)
        elif _hidden_addresses(name):
            self.defects.append(HIDDEN_ADDRESS)

    def _element(self, element: list[_Token]) -> None:
        if not element:  # RFC 5322 §4.4: empty elements were allowed once, and hide nothing
            return
        kinds = [token.kind for token in element]
        name: list[_Token] = []
        if "<" in kinds:
            begin = kinds.index("<")
            name, inside = element[:begin], element[begin + 1 : -1]
            if kinds[-1] != ">" or any(kind not in ("atom", "quoted", ".") for kind in kinds[:begin]):
                self.defects.append(NOT_AN_ADDRESS)
                return
        else:
            inside = element
        if has_encoded_word("".join(token.text for token in inside)):
            self.defects.append(ENCODED_ADDRESS)  # RFC 2047 §5 (3)
            return
        address = _addr_spec(inside)
        if address is None:
            self.defects.append(NOT_AN_ADDRESS)
            return
        self.addresses.append(address)
        if any(shown.casefold() != str(address).casefold() for shown in _hidden_addresses(name)):
            self.defects.append(HIDDEN_ADDRESS)


def _hidden_addresses(name: list[_Token]) -> list[str]:
    """The addresses that the encoded words of a display name stand for, and those in a quoted one with a backslash
    before a quote: programs that decode before they parse, or know no backslash, would take one for the sender."""
    hidden = [text for token in name if token.kind == "quoted" and '\\"' in token.text for text in _shown(token.text)]
    words = "".join(f" {token.text}" if token.apart else token.text for token in name)
    return hidden + _shown(decode_words(words)) if has_encoded_word(words) else hidden


def _shown(text: str) -> list[str]:
    found: list[str] = _SHOWN_ADDRESS.findall(text)
    return found


def _addr_spec(tokens: list[_Token]) -> Address | None:
    """local-part "@" domain without white space or comments inside (RFC 5322 §3.4.1; not the obsolete forms)."""
    if any(token.apart for token in tokens[1:]):
        return None
    kinds = [token.kind for token in tokens]
    if kinds.count("@") != 1:
        return None
    at = kinds.index("@")
    local, domain = tokens[:at], tokens[at + 1 :]
    if kinds[:at] == ["quoted"]:
        name = _UNQUOTE.sub(r"\1", local[0].text)
        if not name.isprintable():
            return None
    elif _is_dotted(kinds[:at]):
        name = "".join(token.text for token in local)
    else:
        return None
    if kinds[at + 1 :] != ["literal"] and not _is_dotted(kinds[at + 1 :]):
        return None
    try:
        return make_address(name, "".join(token.text for token in domain))
    except SyntaxInvalid:
        return None


def _is_dotted(kinds: list[str]) -> bool:
    return len(kinds) % 2 == 1 and all(kind == (".", "atom")[index % 2 == 0] for index, kind in enumerate(kinds))
