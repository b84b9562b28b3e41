"""Octets under inspection stay within the budget, in the order of arrival."""

from __future__ import annotations

import asyncio

from relayd.inspection.budget import ByteBudget


async def test_never_more_than_the_budget_and_nobody_is_overtaken() -> None:
    budget = ByteBudget(100)
    inside: list[int] = []
    order: list[int] = []

    async def work(number: int, octets: int) -> None:
        async with budget.reserve(octets):
            order.append(number)
            inside.append(min(octets, 100))
            assert sum(inside) <= 100
            for _ in range(3):
                await asyncio.sleep(0)
            inside.remove(min(octets, 100))

    sizes = [60, 60, 10, 1000, 1, 40, 100, 0, 99]
    await asyncio.gather(*(work(number, size) for number, size in enumerate(sizes)))
    assert order == list(range(len(sizes)))
    assert inside == []


async def test_who_gives_up_waiting_holds_nobody_up() -> None:
    budget = ByteBudget(10)
    async with budget.reserve(10):
        waiting = asyncio.create_task(_reserve(budget, 10))
        behind = asyncio.create_task(_reserve(budget, 5))
        await asyncio.sleep(0)
        waiting.cancel()
    await behind
    async with asyncio.timeout(5):
        await _reserve(budget, 10)


async def test_a_cancellation_at_the_very_turn_gives_the_share_back() -> None:
    budget = ByteBudget(10)
    async with budget.reserve(10):
        waiting = asyncio.create_task(_reserve(budget, 10))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5):
        await _reserve(budget, 10)


async def _reserve(budget: ByteBudget, octets: int) -> None:
    async with budget.reserve(octets):
        pass
