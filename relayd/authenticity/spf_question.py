"""What an SPF check is asked and what it tells (RFC 7208 §4.1), as values."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from relayd.authenticity.results import Spf
from relayd.mail.address import NullSender, Sender


@dataclass(frozen=True, slots=True)
class Step:
    """One term that was looked at, or a domain whose record was: for whoever wants to know why.

    ``depth`` counts the includes around it. ``asked`` are the DNS questions with their answers, in words.
    """

    depth: int
    domain: str
    term: str
    outcome: str
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpfCheck:
    """The result, and the way to it."""

    spf: Spf
    explanation: str = ""
    steps: tuple[Step, ...] = ()
    lookups: int = 0
    void_lookups: int = 0


@dataclass(frozen=True, slots=True)
class SpfQuestion:
    """Whom to check. ``local`` and ``domain`` are the identity's (RFC 7208 §2.2); ``helo`` is what the peer called
    itself. ``receiver`` and ``now`` (seconds since 1970) are for explanations."""

    address: IPv4Address | IPv6Address
    local: str
    domain: str
    helo: str
    is_helo: bool = False
    receiver: str = "unknown"
    now: float = 0.0


def question(
    address: IPv4Address | IPv6Address, sender: Sender, helo: str, receiver: str = "unknown", now: float = 0.0
) -> SpfQuestion:
    """The identity to check: MAIL FROM's, or EHLO's where that is the null sender (RFC 7208 §2.4)."""
    if isinstance(sender, NullSender):
        return SpfQuestion(address, "postmaster", helo.removesuffix("."), helo, True, receiver, now)
    return SpfQuestion(address, sender.local, sender.domain, helo, False, receiver, now)
