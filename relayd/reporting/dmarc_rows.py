"""What an aggregate report says of a message, and no more (RFC 9990): messages that agree in it are one row."""

from __future__ import annotations

from dataclasses import dataclass

from relayd.authenticity.observation import DmarcObservation
from relayd.reporting.counts import Tally

#: Characters of a comment: it is one of ours, but may name what a stranger chose.
_COMMENT = 100


@dataclass(frozen=True, slots=True)
class DmarcRow:
    """Messages from ``source`` (an IP address) with the same identities and results. ``policy_domain`` is where the
    record ``published`` was found. ``spf`` is (domain, result), ``dkim`` one (domain, selector, result) per signature.
    ``override`` is the reason type for not doing what the record asks for, "" for none."""

    policy_domain: str
    published: tuple[tuple[str, str], ...]
    source: str
    header_from: str
    envelope_from: str
    applied: str
    dkim_aligned: bool
    spf_aligned: bool
    override: str
    comment: str
    spf: tuple[str, str]
    dkim: tuple[tuple[str, str, str], ...]


class DmarcTally:
    """Implements DmarcResults over a tally of rows."""

    def __init__(self, tally: Tally[DmarcRow]) -> None:
        self._tally = tally

    def note(self, observation: DmarcObservation) -> None:
        """Count one message; one without a record, or whose record names nobody to tell, counts for nothing."""
        if not self._tally.wanted:
            return
        dmarc = observation.authentication.dmarc
        if not dmarc.policy_domain or not any(name == "rua" for name, _ in dmarc.published):
            return
        self._tally.note(_row(observation))


def _row(observation: DmarcObservation) -> DmarcRow:
    found = observation.authentication
    dmarc, spf = found.dmarc, found.spf
    return DmarcRow(
        policy_domain=dmarc.policy_domain,
        published=dmarc.published,
        source=observation.source,
        header_from=dmarc.domain,
        envelope_from=observation.envelope_from,
        applied=observation.applied.value,
        dkim_aligned=dmarc.dkim_aligned,
        spf_aligned=dmarc.spf_aligned,
        override=observation.override.value if observation.override else "",
        comment=observation.comment[:_COMMENT],
        spf=(spf.domain, spf.result.value),
        dkim=tuple((one.domain, one.selector, one.result.value) for one in found.dkim),
    )
