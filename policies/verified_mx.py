"""Confidential mail by MX, to domains whose mail hosts prove themselves: by DANE, or by an enforced MTA-STS policy.

That proves the way, not who reads at its end: a mailbox there may be open to anybody with a password. So it is off
unless the sysadmin lists it. It stands before ``viewer`` in policies.yaml. A recipient for whom the sender wrote a
mobile number is left to the Viewer: whoever writes one wants the message read after a code.
"""

from __future__ import annotations

import asyncio
from typing import Final

from policies.viewer import wishes
from relayd.mail.address import Domain
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage, Standing
from relayd.pipeline.verdict import Defer, MessageClass, Pass, RouteKind, RouteTarget, RouteTo, Verdict

#: Seconds for all domains of a message together.
_BUDGET: Final = 5.0
#: Domains that are looked at at the same time.
_AT_ONCE: Final = 20
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
        found = await _look(tuple(keys), context)
        return [_verdict(found[domain], tuple(keys[domain])) for domain in keys]


async def _look(domains: tuple[Domain, ...], context: Context) -> dict[Domain, Standing]:
    """Where each domain stands; what isn't known in time is open."""
    places = asyncio.Semaphore(_AT_ONCE)
    found = {domain: Standing(None, f"DNS said nothing about {domain} in time") for domain in domains}

    async def look(domain: Domain) -> None:
        async with places:
            found[domain] = await context.ways.proven(domain)

    looking = [asyncio.create_task(look(domain)) for domain in domains]
    if not looking:
        return found
    try:
        done, _ = await asyncio.wait(looking, timeout=_BUDGET)
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
    for task in done:
        task.result()  # a defect is one, and not an answer
    return found


def _verdict(standing: Standing, keys: tuple[str, ...]) -> Verdict:
    if standing.proven is None:
        return Defer(standing.reason, keys, reply=_LATER)
    if not standing.proven:
        return Pass(standing.reason, keys)
    return RouteTo(standing.reason, keys, route=RouteTarget(RouteKind.RELAY, "", MessageClass.CONFIDENTIAL))
