"""What one message from outside tells the owner of its author's domain, for aggregate reports (RFC 9990)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from relayd.authenticity.results import Authentication, Disposition, Result

#: The reason by which the policy ``authenticity`` lets a failing message of a trusted forwarder pass.
FROM_A_FORWARDER: Final = "DMARC doesn't hold, but a trusted forwarder passes the message on"


class Applied(StrEnum):
    """What was done with the message on account of DMARC. PASS: it passed, and the record asks for something when one
    doesn't; NONE: nothing was asked for or done."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 (no secret)
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Override(StrEnum):
    """Why something else was done than the record asks for."""

    TRUSTED_FORWARDER = "trusted_forwarder"
    LOCAL_POLICY = "local_policy"


@dataclass(frozen=True, slots=True)
class DmarcObservation:
    """One message whose author's domain has a DMARC record.

    ``source`` is the peer's IP address. ``envelope_from`` is the domain of MAIL FROM, or what the peer called itself
    where that is the null sender. ``authentication`` holds the rest: ``dmarc`` with the author's domain, the record as
    published and which results are aligned; ``spf`` and ``dkim`` as they came out. ``override`` is None where the
    record was followed, else ``comment`` is the policy's reason.
    """

    source: str
    envelope_from: str
    authentication: Authentication
    applied: Applied
    override: Override | None = None
    comment: str = ""


def observe(
    source: str, envelope_from: str, authentication: Authentication, *, refused: bool, held: bool, reason: str
) -> DmarcObservation | None:
    """The observation of a message, None where no record asks for one. ``refused`` and ``held`` say what the policy
    ``authenticity`` did, and ``reason`` why."""
    dmarc = authentication.dmarc
    if not dmarc.policy_domain or dmarc.result not in (Result.PASS, Result.FAIL):
        return None
    wanted = Applied(dmarc.disposition.value)
    if dmarc.result is Result.PASS:
        applied = Applied.NONE if dmarc.disposition is Disposition.NONE else Applied.PASS
        return DmarcObservation(source, envelope_from, authentication, applied)
    applied = Applied.REJECT if refused else Applied.QUARANTINE if held else Applied.NONE
    if applied is wanted:
        return DmarcObservation(source, envelope_from, authentication, applied)
    override = Override.TRUSTED_FORWARDER if reason == FROM_A_FORWARDER else Override.LOCAL_POLICY
    return DmarcObservation(source, envelope_from, authentication, applied, override, reason)


class DmarcResults(Protocol):
    """Where observations are counted."""

    def note(self, observation: DmarcObservation) -> None:
        """Count one. Doesn't wait and never raises: a count is never worth a message."""
        ...


class NoDmarcResults:
    """Where nobody counts."""

    def note(self, observation: DmarcObservation) -> None:
        pass
