"""Mail addresses as values (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NewType, final

from relayd.errors import SyntaxInvalid

#: A domain in A-labels and lower case, without a trailing dot; or an address literal such as "[192.0.2.1]".
Domain = NewType("Domain", str)


@dataclass(frozen=True, slots=True)
class Address:
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

_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")


def quote_local(local: str) -> str:
    """The local part as it goes on the wire: quoted only where it isn't a dot-string (RFC 5321 §4.1.2)."""
    if local and all(atom and all(c in _ATEXT or ord(c) > 127 for c in atom) for atom in local.split(".")):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def normalise_domain(text: str) -> Domain:
    """``text`` in A-labels and lower case, without a trailing dot."""
    try:
        name = text.strip().rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise SyntaxInvalid("a domain's labels have 1 to 63 characters") from None
    if not name or not all(c.isalnum() or c in "-._" for c in name):
        raise SyntaxInvalid("a domain has letters, digits and hyphens")
    return Domain(name)


def parse_address(text: str) -> Address:
    """A bare mailbox, without brackets."""
    local, at, domain = text.rpartition("@")
    if not at or not local:
        raise SyntaxInvalid("an address is local@domain")
    return Address(local, normalise_domain(domain))
