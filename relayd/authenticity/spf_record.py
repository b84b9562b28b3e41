"""SPF records as values (RFC 7208 §4.6, §5, §6). The whole record is read before any of it is evaluated: a mistake
anywhere is a mistake of all (RFC 7208 §4.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from relayd.authenticity.results import Result
from relayd.authenticity.spf_macro import MacroString, parse_domain_spec, parse_macro_string
from relayd.errors import SyntaxInvalid

#: Octets of a record that are read. RFC 7208 §3.4 wants them below 512; what is longer than this would cost time.
MOST_OCTETS: Final = 8192

QUALIFIERS: Final = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}

_VERSION: Final = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.\-]*)=(.*)")
_MECHANISM: Final = re.compile(r"([+\-~?]?)([A-Za-z][A-Za-z0-9]*)(.*)")
#: RFC 7208 §5.6, at the end of a term: "/24", "//64" or both. The domain before it may hold slashes as well.
_DUAL_CIDR: Final = re.compile(r"(.*?)(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?")
_IP4: Final = re.compile(r":([0-9.]+)(?:/(0|[1-9][0-9]?))?")
_IP6: Final = re.compile(r":([0-9A-Fa-f:.]+)(?:/(0|[1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism. ``term`` is how it was written. ``domain`` is None where it means the domain under check;
    ``network`` is for ip4 and ip6; the prefix lengths are for a and mx."""

    term: str
    result: Result
    kind: str
    domain: MacroString | None = None
    network: IPv4Network | IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record whose syntax is right."""

    mechanisms: tuple[Mechanism, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def select(texts: Iterable[bytes]) -> list[bytes]:
    """Those of a name's TXT records that are SPF records (RFC 7208 §4.5)."""
    return [text for text in texts if _VERSION.match(text)]


def parse_record(text: bytes) -> SpfRecord:
    """The record that ``text`` is, which :func:`select` found. Raises SyntaxInvalid."""
    if len(text) > MOST_OCTETS:
        raise SyntaxInvalid(f"the record is longer than {MOST_OCTETS} octets")
    try:
        words = text.decode("ascii").split(" ")[1:]
    except UnicodeDecodeError:
        raise SyntaxInvalid("the record isn't ASCII") from None
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, MacroString] = {}
    for number, word in enumerate((word for word in words if word), 1):
        try:
            if match := _MODIFIER.fullmatch(word):
                _modifier(match[1].lower(), match[2], modifiers)
            else:
                mechanisms.append(_mechanism(word))
        except SyntaxInvalid as error:
            raise SyntaxInvalid(f"term {number}: {error}") from None
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def _modifier(name: str, value: str, known: dict[str, MacroString]) -> None:
    if name not in ("redirect", "exp"):
        parse_macro_string(value)  # RFC 7208 §6: ignored, but its syntax counts
        return
    if name in known:
        raise SyntaxInvalid(f"{name} stands there twice")
    known[name] = parse_domain_spec(value)


def _mechanism(word: str) -> Mechanism:
    match = _MECHANISM.fullmatch(word)
    if match is None:
        raise SyntaxInvalid("neither a mechanism nor a modifier")
    result, kind, rest = QUALIFIERS[match[1] or "+"], match[2].lower(), match[3]
    if kind == "all":
        if rest:
            raise SyntaxInvalid("all takes no argument")
        return Mechanism(word, result, kind)
    if kind in ("ip4", "ip6"):
        return Mechanism(word, result, kind, network=_network(kind, rest))
    if kind in ("a", "mx"):
        return _host_mechanism(word, result, kind, rest)
    if kind in ("include", "exists") or (kind == "ptr" and rest):
        return Mechanism(word, result, kind, _domain(rest))
    if kind == "ptr":
        return Mechanism(word, result, kind)
    raise SyntaxInvalid("an unknown mechanism")


def _host_mechanism(word: str, result: Result, kind: str, rest: str) -> Mechanism:
    match = _DUAL_CIDR.fullmatch(rest)
    assert match is not None  # each of its parts may be empty
    prefix4, prefix6 = int(match[2] or 32), int(match[3] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SyntaxInvalid("a prefix longer than the address")
    return Mechanism(word, result, kind, _domain(match[1]) if match[1] else None, None, prefix4, prefix6)


def _domain(rest: str) -> MacroString:
    if not rest.startswith(":"):
        raise SyntaxInvalid("a colon and a domain are missing")
    return parse_domain_spec(rest[1:])


def _network(kind: str, rest: str) -> IPv4Network | IPv6Network:
    match = (_IP4 if kind == "ip4" else _IP6).fullmatch(rest)
    if match is None:
        raise SyntaxInvalid(f"{kind} without a network that can be read")
    try:
        if kind == "ip4":
            return IPv4Network((match[1], int(match[2] or 32)), strict=False)
        return IPv6Network((match[1], int(match[2] or 128)), strict=False)
    except ValueError:
        raise SyntaxInvalid(f"{kind} without a network that can be read") from None
