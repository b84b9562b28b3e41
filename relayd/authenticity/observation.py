"""What one message from outside tells the owner of its author's domain, for aggregate reports (RFC 9990)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relayd.authenticity.results import Authentication


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
    record was followed; ``comment`` says more about it.
    """

    source: str
    envelope_from: str
    authentication: Authentication
    applied: Applied
    override: Override | None = None
    comment: str = ""


class DmarcResults(Protocol):
    """Where observations are counted."""

    def note(self, observation: DmarcObservation) -> None:
        """Count one. Doesn't wait and never raises: a count is never worth a message."""
        ...
