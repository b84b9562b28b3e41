"""One budget of time for all questions about a message."""

from __future__ import annotations

import asyncio
from typing import Any

from relayd.dns.budget import BudgetedResolver
from relayd.dns.records import Answer, Records
from relayd.dns.resolver import Resolver
from tests.kit.dns import FakeDns


class SilentDns(Resolver):
    def __init__(self) -> None:
        self.asked = 0

    async def look_up(self, name: str, kind: str) -> Records[Any]:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


async def test_what_is_answered_in_time_passes() -> None:
    dns = BudgetedResolver(FakeDns({("a.example", "TXT"): ["x"]}), 60.0)
    assert (await dns.texts("a.example")).values == (b"x",)


async def test_all_questions_share_one_time() -> None:
    silent = SilentDns()
    dns = BudgetedResolver(silent, 0.05)
    start = asyncio.get_running_loop().time()
    answers = [await dns.texts("a.example") for _ in range(50)]
    answers += await asyncio.gather(*(dns.mx("a.example") for _ in range(50)))
    assert {one.answer for one in answers} == {Answer.TIMEOUT}
    assert asyncio.get_running_loop().time() - start < 50 * 0.05
