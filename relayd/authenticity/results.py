"""What is known about who wrote a message: SPF, DKIM, DMARC and ARC, as values (RFC 8601 §2.7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.address import Domain


class Result(StrEnum):
    """The words of RFC 8601 §2.7. TEMPERROR means that DNS couldn't be asked; a later try may tell."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 (no secret)
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Spf:
    """``domain`` is the one that was checked, ``helo`` whether it was EHLO's (for the null sender). ``reason`` names
    the mechanism that matched, or what is wrong."""

    result: Result
    domain: str
    helo: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dkim:
    """One signature. ``reason`` says why it doesn't count."""

    result: Result
    domain: str
    selector: str = ""
    algorithm: str = ""
    reason: str = ""


class Disposition(StrEnum):
    """What the author's domain asks for a message that fails (RFC 9989 §4.7)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Dmarc:
    """``domain`` is the author's (From), ``policy_domain`` where the record was found, "" where none was.

    ``disposition`` is what the record asks for messages that fail; with TEMPERROR and no ``policy_domain`` nobody
    knows.
    ``published`` holds the record's tags as they were read. PERMERROR: there is no one author's domain."""

    result: Result
    domain: str = ""
    policy_domain: str = ""
    disposition: Disposition = Disposition.NONE
    spf_aligned: bool = False
    dkim_aligned: bool = False
    published: tuple[tuple[str, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Arc:
    """The chain of those who passed the message on, for information only: the protocol is being retired."""

    result: Result = Result.NONE
    instances: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Authentication:
    """All of it for one message."""

    spf: Spf
    dkim: tuple[Dkim, ...] = ()
    dmarc: Dmarc = Dmarc(Result.NONE)
    arc: Arc = Arc()

    @property
    def signers(self) -> frozenset[Domain]:
        """The domains with a valid signature over the whole message."""
        return signers(self.dkim)


def signers(signatures: Iterable[Dkim]) -> frozenset[Domain]:
    """The domains of the valid ones."""
    return frozenset(Domain(one.domain) for one in signatures if one.result is Result.PASS)
