"""Routes to every domain in the domainbook: a participant's mail server, a hosted mailbox, or a folder."""

from __future__ import annotations

from typing import Final

from relayd.directory.directory import Delivers, DomainEntry
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import RouteKind, RouteTarget, RouteTo, Verdict

_KINDS: Final = {
    Delivers.RELAY: RouteKind.RELAY,
    Delivers.MAILBOX: RouteKind.MAILBOX,
    Delivers.FOLDER: RouteKind.FOLDER,
}


class DomainbookPolicy(Policy[Options]):
    """Says the route of each recipient whose domain stands in the domainbook; nothing about the others."""

    name = "domainbook"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for recipient in mail.recipients:
            entry = context.directory.domainbook.get(recipient.address.domain)
            if entry is not None:
                owner = entry.organisation or entry.network or "the domainbook"
                reason = f"{entry.domain} delivers by {entry.delivers} ({owner})"
                verdicts.append(RouteTo(reason, (recipient.address.key,), route=_route(entry)))
        return verdicts


def _route(entry: DomainEntry) -> RouteTarget:
    """A relay's target is the domain, under which delivery finds next hops and TLS names; else the named store."""
    target = entry.domain if entry.delivers is Delivers.RELAY else entry.store
    return RouteTarget(_KINDS[entry.delivers], target)
