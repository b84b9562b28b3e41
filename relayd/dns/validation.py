"""Does the resolver validate? Asked at start and every hour, because everything that DNSSEC proves hangs on it.

A resolver that doesn't validate never vouches for an answer, and one that only passes on what others told it may vouch
for anything: so a name with sound signatures must be vouched for, and one with broken signatures must not be answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from relayd.dns.records import Answer, Records, Validation
from relayd.dns.resolver import DnsResolver
from relayd.telemetry.metrics import RESOLVER_VALIDATES

#: Seconds until the next test, and until the next one after a test that came to nothing.
_HOUR: Final = 3600.0
_SOON: Final = 60.0

log = structlog.get_logger("relayd.dns")


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test found, and by what."""

    validation: Validation
    reason: str


async def probe(ask: Callable[[str, str], Awaitable[Records[Any]]], signed_name: str, broken_name: str) -> Tested:
    """Test whoever answers ``ask`` (name, kind) by a name with sound signatures and one with broken ones."""
    signed, broken = await asyncio.gather(ask(signed_name, "A"), ask(broken_name, "A"))
    if signed.answer.certain and not signed.secure:
        return Tested(Validation.OFF, f"it doesn't vouch for {signed_name}, which is signed")
    if broken.answer in (Answer.FOUND, Answer.NO_DATA):
        return Tested(Validation.OFF, f"it answers {broken_name}, whose signatures don't hold")
    if not signed.answer.certain:
        return Tested(Validation.UNTESTED, f"looking up {signed_name} ended in {signed.answer}")
    return Tested(Validation.ON, f"it vouches for {signed_name}, and looking up {broken_name} ends in {broken.answer}")


class Watch:
    """Tests a resolver from now on, and tells it what was found. A test that comes to nothing changes nothing."""

    def __init__(self, resolver: DnsResolver, signed_name: str, broken_name: str) -> None:
        self._resolver = resolver
        self._names = signed_name, broken_name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Until the first test is over, whoever needs to know waits for it."""
        self._resolver.await_test()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def test(self) -> Tested:
        """Test now."""
        found = await probe(self._resolver.ask_anew, *self._names)
        before = self._resolver.validation
        self._resolver.learn(found.validation)
        if self._resolver.validation is not Validation.UNTESTED:
            RESOLVER_VALIDATES.set(float(self._resolver.validation is Validation.ON))
        if found.validation is Validation.OFF:
            # Every hour anew: DANE and NTA 7516 are off, and mail that needs them waits.
            log.error("resolver_does_not_validate", reason=found.reason, consequence="DANE and NTA 7516 are off")
        elif found.validation is Validation.UNTESTED:
            log.warning("resolver_not_tested", reason=found.reason, known=before.value)
        elif before is not Validation.ON:
            log.info("resolver_validates", reason=found.reason)
        return found

    async def _run(self) -> None:
        while True:
            found = await self.test()
            await asyncio.sleep(_SOON if found.validation is Validation.UNTESTED else _HOUR)
