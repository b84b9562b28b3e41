"""What became of TLS with a receiving server, for the daily report to its domain (RFC 8460 §4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol


class PolicyType(StrEnum):
    """Which policy was applied (RFC 8460 §4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class ResultType(StrEnum):
    """Why a session failed (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


#: Lines of a policy that the daily report names, and characters of each: every result carries them, and a domain that
#: publishes 64 KiB doesn't get them all back.
MOST_LINES: Final = 20
_LONGEST_LINE: Final = 4096


def told(lines: Iterable[str]) -> tuple[str, ...]:
    """A policy's lines, its records or its patterns, as far as the daily report names them."""
    return tuple(line[:_LONGEST_LINE] for line in islice(lines, MOST_LINES))


@dataclass(frozen=True, slots=True)
class Applied:
    """The policy that sessions with a host are held to, in the words of the daily report (RFC 8460 §4.4)."""

    domain: str
    type: PolicyType = PolicyType.NONE
    policy: tuple[str, ...] = ()
    mx_patterns: tuple[str, ...] = ()

    def result(self, host: str, address: str, failure: ResultType | None, reason: str = "") -> TlsResult:
        """What became of one session with ``host`` under this policy."""
        return TlsResult(self.domain, self.type, self.policy, self.mx_patterns, host, address, failure, reason)


@dataclass(frozen=True, slots=True)
class TlsResult:
    """One session, or one policy that couldn't be had. ``domain`` is the recipient's, ``policy`` the policy's text
    (TLSA records or the lines of the STS policy), ``mx_patterns`` its patterns; ``host`` and ``address`` name the
    receiving server. ``failure`` is None for a success."""

    domain: str
    type: PolicyType
    policy: tuple[str, ...] = ()
    mx_patterns: tuple[str, ...] = ()
    host: str = ""
    address: str = ""
    failure: ResultType | None = None
    reason: str = ""


class TlsResults(Protocol):
    """Where results are counted."""

    def note(self, result: TlsResult) -> None:
        """Count one. Doesn't wait and never raises: a count is never worth a message."""
        ...


class NoTlsResults:
    """Where nobody counts."""

    def note(self, result: TlsResult) -> None:
        pass
