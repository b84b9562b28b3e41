"""Routes mail to the reports' address to where it is read: TLS and DMARC reports of others."""

from __future__ import annotations

from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import RouteKind, RouteTarget, RouteTo, Verdict


class ReportsPolicy(Policy[Options]):
    """Says the route of ``reports.address`` in relayd.yaml, and nothing about anybody else."""

    name = "reports"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> list[Verdict]:
        return [
            RouteTo("reports are read here", (recipient.address.key,), route=RouteTarget(RouteKind.REPORT))
            for recipient in mail.recipients
            if context.directory.reads_reports(recipient.address)
        ]
