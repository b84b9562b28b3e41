"""Confidential mail by MX, to domains whose mail hosts prove themselves: by DANE, or by an enforced MTA-STS policy.

That proves the way, not who reads at its end: a mailbox there may be open to anybody with a password. So it is off
unless the sysadmin lists it. It stands before ``viewer`` in policies.yaml. A recipient for whom the sender wrote a
mobile number is left to the Viewer: whoever writes one wants the message read after a code.
"""

from __future__ import annotations

from typing import Final

from policies.viewer import wishes
from relayd.mail.address import Domain
from relayd.mail.reply import Reply
from relayd.pipeline.lookups import look_at_all
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage, Standing
from relayd.pipeline.verdict import Defer, MessageClass, Pass, RouteKind, RouteTarget, RouteTo, Verdict

_LATER: Final = Reply(
    451, "4.4.3", "Whether the way to this recipient is secure can't be found out now; try again later"
)


class VerifiedMxPolicy(Policy[Options]):
    """Routes recipients by MX where the way is proven; says nothing about the others."""

    name = "verified_mx"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        assert mail.headers is not None
        if not mail.origin.recognised or mail.origin.organisation is None:
            return Pass("strangers' mail isn't relayed")
        wished = wishes(mail.headers)
        if wished.tags or wished.broken:
            return Pass("the sender asks for the Viewer")
        keys: dict[Domain, list[str]] = {}
        for recipient in mail.recipients:
            if recipient.address.key not in wished.named:
                keys.setdefault(recipient.address.domain, []).append(recipient.address.key)
        found = await look_at_all(keys, context.ways.proven, lambda reason: Standing(None, reason))
        return [_verdict(found[domain], tuple(keys[domain])) for domain in keys]


def _verdict(standing: Standing, keys: tuple[str, ...]) -> Verdict:
    if standing.proven is None:
        return Defer(standing.reason, keys, reply=_LATER)
    if not standing.proven:
        return Pass(standing.reason, keys)
    return RouteTo(standing.reason, keys, route=RouteTarget(RouteKind.RELAY, "", MessageClass.CONFIDENTIAL))
