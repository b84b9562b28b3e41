"""What DNS answered, as values. They tell apart what a mail server must not confuse: a name that doesn't exist, one
without such records, an answer that DNSSEC proves forged, a resolver that couldn't find out, and silence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}")


def is_host_name(name: str) -> bool:
    """Whether this can be connected to, asked for in a handshake and stand in a log. DNS carries any octets."""
    return _HOST.fullmatch(name) is not None


class Answer(StrEnum):
    """How a question ended. Only the first three say something about the name itself.

    BOGUS: there is an answer, but its signatures don't hold (RFC 4033 §5). FAILED: the resolver couldn't find out.
    """

    FOUND = "found"
    NO_NAME = "nxdomain"
    NO_DATA = "nodata"
    BOGUS = "bogus"
    FAILED = "servfail"
    TIMEOUT = "timeout"

    @property
    def certain(self) -> bool:
        return self in (Answer.FOUND, Answer.NO_NAME, Answer.NO_DATA)


@dataclass(frozen=True, slots=True)
class Records(Generic[T]):
    """The answer to one question. ``secure``: a validating resolver on this machine vouches for it, for the answer
    "there is none" as well. ``canonical`` is the name behind all aliases (CNAME), in lower case without a dot at the
    end; "" when the question found no name."""

    answer: Answer
    values: tuple[T, ...] = ()
    secure: bool = False
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record (RFC 5321 §5.1). ``host`` is "" for RFC 7505's null MX."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 §2.1). Values beyond those that RFC 6698 knows are kept: they make it unusable."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


@dataclass(frozen=True, slots=True)
class MailHosts:
    """A domain's mail hosts, most preferred first. ``null`` is RFC 7505's "accepts no mail". ``implicit`` means that
    the domain has no MX and is its own host. ``canonical`` is the domain behind its aliases."""

    answer: Answer
    hosts: tuple[str, ...] = ()
    null: bool = False
    implicit: bool = False
    secure: bool = False
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """A host's IP addresses, IPv6 first. ``secure`` when the answers of all families that could be asked are,
    ``canonical`` as in Records."""

    answer: Answer
    addresses: tuple[str, ...] = ()
    secure: bool = False
    canonical: str = ""


class Validation(StrEnum):
    """What is known of the resolver's DNSSEC validation. UNTESTED: the test names couldn't be asked yet. OFF: it was
    seen not to validate, and its word counts for nothing."""

    ON = "on"
    OFF = "off"
    UNTESTED = "untested"
