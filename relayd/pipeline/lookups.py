"""Questions about several domains at once, within the time that a sender waits for a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from relayd.mail.address import Domain

A = TypeVar("A")

#: Seconds that DNS may take for all of them together.
_BUDGET: Final = 5.0
#: Domains that are looked at at the same time.
_AT_ONCE: Final = 20


async def look_at_all(
    domains: Iterable[Domain], look: Callable[[Domain], Awaitable[A]], late: Callable[[str], A]
) -> dict[Domain, A]:
    """What ``look`` says of each domain, and what ``late`` makes of the reason for those that weren't known in time."""
    places = asyncio.Semaphore(_AT_ONCE)
    found = {domain: late(f"DNS said nothing about {domain} in time") for domain in domains}

    async def one(domain: Domain) -> None:
        async with places:
            found[domain] = await look(domain)

    looking = [asyncio.create_task(one(domain)) for domain in found]
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
