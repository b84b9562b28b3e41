"""Whether a domain is compliant with NTA 7516 today: by the local register, else by what it publishes."""

from __future__ import annotations

from relayd.directory.nta7516 import NtaStanding, standing, today
from relayd.mail.address import Domain
from relayd.pipeline.policy import Context


async def standing_of(domain: Domain, context: Context) -> NtaStanding:
    """A current entry wins, and then DNS isn't asked."""
    day = today(context.clock.now())
    entry = context.directory.nta.get(domain)
    if entry is not None and entry.counts_on(day):
        return entry.standing
    return standing(await context.nta.look_up(domain), day)
