"""Routes to domains that the local NTA 7516 register allows: their mail servers meet the Dutch norm for secure mail.

An entry gives a route only where it names hosts, because only then there is a name for the certificate to prove. The
norm forbids moving to something weaker (NTA 7516 §6.1.2), so everything else is left to the Viewer.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from relayd.directory.directory import NtaEntry
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Pass, RouteKind, RouteTarget, RouteTo, Verdict


class Nta7516Policy(Policy[Options]):
    """Says the route of recipients whose domain has an allowing, current entry with hosts."""

    name = "nta7516"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> list[Verdict]:
        today = datetime.fromtimestamp(context.clock.now(), UTC).date()
        verdicts: list[Verdict] = []
        for recipient in mail.recipients:
            entry = context.directory.nta.get(recipient.address.domain)
            if entry is not None:
                verdicts.append(_judge_entry(entry, recipient.address.key, today))
        return verdicts


def _judge_entry(entry: NtaEntry, key: str, today: date) -> Verdict:
    if entry.until is not None and entry.until < today:
        return Pass(f"the NTA 7516 entry of {entry.domain} ended on {entry.until}", (key,))
    if not entry.allow:
        return Pass(f"the NTA 7516 register denies {entry.domain}: {entry.reason}", (key,))
    if not entry.hosts:
        return Pass(f"the NTA 7516 entry of {entry.domain} names no hosts whose certificates can be verified", (key,))
    reason = f"the NTA 7516 register allows {entry.domain}: {entry.reason}"
    return RouteTo(reason, (key,), route=RouteTarget(RouteKind.RELAY, entry.domain))
