"""``relayd doctor`` on systems that take HL7: whether each can be reached and proves its name."""

from __future__ import annotations

import asyncio

from relayd.cli.findings import Finding, Level
from relayd.delivery.mllp import Unreachable, dial
from relayd.dns.resolver import Resolver
from relayd.settings.models import Configuration, SystemSettings


async def systems(configuration: Configuration, resolver: Resolver) -> list[Finding]:
    """One line for each."""
    found = (_system(name, system, configuration, resolver) for name, system in configuration.systems.items())
    return list(await asyncio.gather(*found))


async def _system(name: str, system: SystemSettings, configuration: Configuration, resolver: Resolver) -> Finding:
    try:
        _, writer = await dial(system, configuration.tls.certificate, configuration.tls.key, resolver)
    except Unreachable as error:
        return Finding("system", Level.BAD, f"{name} ({system.address}) can't be reached: {error}",
                       "HL7 for it waits; correct systems in relayd.yaml, or ask its operator")  # fmt: skip
    writer.transport.abort()
    return Finding("system", Level.OK, f"{name} ({system.address}) proves its name")
