"""A resolver that stops answering when a time is up: for what must not keep a sender waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from relayd.dns.records import Answer, Records
from relayd.dns.resolver import Resolver


class BudgetedResolver(Resolver):
    """Asks ``resolver``; all questions together have ``seconds`` from the first one on. Later ones are a TIMEOUT."""

    def __init__(self, resolver: Resolver, seconds: float) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._deadline: float | None = None

    async def look_up(self, name: str, kind: str) -> Records[Any]:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._resolver.look_up(name, kind)
        except TimeoutError:
            return Records(Answer.TIMEOUT)
