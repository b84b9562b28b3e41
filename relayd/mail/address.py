"""Mail addresses as values (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NewType, final

import idna
import msgspec

from relayd.errors import SyntaxInvalid

#: A domain in A-labels and lower case, without a trailing dot; or an address literal such as "[192.0.2.1]".
Domain = NewType("Domain", str)


class Address(msgspec.Struct, frozen=True):
    """A mailbox. ``local`` is unquoted and keeps its case; ``domain`` is normalised.

    Two addresses are the same recipient when :attr:`key` is equal (local part case-folded).
    """

    local: str
    domain: Domain

    @property
    def key(self) -> str:
        """What counts as one recipient: case-folded local part at the A-label domain."""
        return f"{self.local.casefold()}@{self.domain}"

    def __str__(self) -> str:
        return f"{quote_local(self.local)}@{self.domain}"


@final
class NullSender:
    """The empty reverse-path ``<>`` of reports and notifications. A type, so that no address equals it."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "NULL_SENDER"


NULL_SENDER: Final = NullSender()

Sender = Address | NullSender

#: What an atom is made of: atext (RFC 5322 §3.2.3) and, since RFC 6531 §3.3, everything beyond ASCII except
#: C1 controls, line separators and the surrogates that stand for undecodable octets.
ATEXT: Final = r"A-Za-z0-9!#$%&'*+\-/=?^_`{|}~" + "\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff"

# No possessive quantifier stands behind a group here or elsewhere: Python before 3.11.5 doesn't go back over an
# iteration of it that failed half-way (gh-106052). The alternatives begin with different characters anyway.
_DOT_STRING = re.compile(rf"[{ATEXT}]++(?:\.[{ATEXT}]++)*")
#: RFC 5321 §4.1.2: Quoted-string; the quoted pair covers printable ASCII only.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|[^\x00-\xa0\u2028\u2029\ud800-\udfff]|\\[ -~])*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ALL_DIGITS_AT_END = re.compile(r"(?:.*\.)?[0-9]+")

#: RFC 5321 §4.5.3.1: octets of a local part, and of a path without its brackets.
_MOST_LOCAL = 64
_MOST_MAILBOX = 254
#: RFC 1035 §2.3.4 as text, without the trailing dot.
_MOST_DOMAIN = 253


def quote_local(local: str) -> str:
    """The local part as it goes on the wire: quoted only where it isn't a dot-string (RFC 5321 §4.1.2)."""
    if _DOT_STRING.fullmatch(local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def normalise_domain(text: str) -> Domain:
    """``text`` in A-labels, lower case and without a trailing dot, or a normalised address literal.

    Raises SyntaxInvalid.
    """
    if len(text) > _MOST_DOMAIN + 1:  # also before idna, whose checks grow faster than their input
        raise SyntaxInvalid("not a domain name")
    return _normalised(text)


@lru_cache(1024)
def _normalised(text: str) -> Domain:
    """The same few domains come again and again, several times in each message."""
    if text.startswith("["):
        return _literal(text)
    if not text.isascii():
        text = _a_labels(text)
    name = text.lower().removesuffix(".")
    if len(name) > _MOST_DOMAIN or not _HOST_NAME.fullmatch(name):
        raise SyntaxInvalid("not a domain name")
    if _ALL_DIGITS_AT_END.fullmatch(name):
        raise SyntaxInvalid("an IP address needs square brackets")
    return Domain(name)


def parse_address(text: str) -> Address:
    """A bare mailbox such as ``jan@example.nl``, without angle brackets. Raises SyntaxInvalid."""
    address, end = read_mailbox(text, 0)
    if end != len(text):
        raise SyntaxInvalid("something follows the address")
    return address


def read_mailbox(text: str, start: int) -> tuple[Address, int]:
    """The mailbox (RFC 5321 §4.1.2) that begins at ``start``, and where it ends. Raises SyntaxInvalid."""
    if match := _DOT_STRING.match(text, start):
        local = match[0]
    elif match := _QUOTED.match(text, start):
        local = _QUOTED_PAIR.sub(r"\1", match[1])
    else:
        raise SyntaxInvalid("not a local part")
    if not text.startswith("@", match.end()):
        raise SyntaxInvalid("no @ after the local part")
    begin = match.end() + 1
    end = text.find("]", begin) + 1 if text.startswith("[", begin) else _end_of_domain(text, begin)
    return make_address(local, text[begin:end] if end else ""), end


def make_address(local: str, domain: str) -> Address:
    """An address of an unquoted local part and a domain as sent, within the limits. Raises SyntaxInvalid."""
    normalised = normalise_domain(domain)
    octets = len(local) if local.isascii() else len(local.encode())
    if octets > _MOST_LOCAL:
        raise SyntaxInvalid("the local part is longer than 64 octets")
    if octets + 1 + len(normalised) > _MOST_MAILBOX:
        raise SyntaxInvalid("the address is longer than 254 octets")
    return Address(local, normalised)


def is_address(host: str) -> bool:
    """Whether a host is given as an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_DOMAIN_ENDS = re.compile(r"[ \t<>,;:()]|\Z")


def _end_of_domain(text: str, start: int) -> int:
    match = _DOMAIN_ENDS.search(text, start)
    return match.start() if match else len(text)


def _a_labels(text: str) -> str:
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError, IndexError, ValueError):
        raise SyntaxInvalid("not an internationalised domain name") from None


def _literal(text: str) -> Domain:
    """RFC 5321 §4.1.3. General address literals have no registered tag and are not accepted."""
    inside = text[1:-1]
    if not text.endswith("]") or "%" in inside:
        raise SyntaxInvalid("not an address literal")
    try:
        if inside[:5].lower() == "ipv6:":
            return Domain(f"[IPv6:{IPv6Address(inside[5:])}]")
        return Domain(f"[{IPv4Address(inside)}]")
    except ValueError:
        raise SyntaxInvalid("not an address literal") from None
