"""Ids and limits."""

from __future__ import annotations

import random
from datetime import timedelta

from relayd.store.ids import first_id, new_id
from relayd.store.limits import Limits
from tests.store.rig import Clock

MINUTE = timedelta(minutes=1)


def test_ids_sort_by_time_and_have_no_letters_that_are_misread() -> None:
    clock, source = Clock(), random.Random(1)
    ids = []
    for _ in range(1000):
        ids.append(new_id(clock, source))
        clock.turn(0.002)
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {len(one) for one in ids} == {16}
    assert not set("".join(ids)) & set("ilou")


def test_ids_of_one_moment_differ() -> None:
    clock = Clock()
    assert len({new_id(clock) for _ in range(1000)}) == 1000


def test_the_first_id_of_a_moment_is_not_after_any_of_it() -> None:
    clock = Clock()
    before = new_id(clock)
    clock.turn(1)
    assert before < first_id(clock.now()) <= new_id(clock)


async def test_take_counts_within_a_sliding_window_and_nothing_when_refused() -> None:
    clock = Clock()
    limits = Limits(clock)
    assert await limits.take("k", 2, 3, MINUTE)
    clock.turn(30)
    assert not await limits.take("k", 2, 3, MINUTE)
    assert await limits.take("k", 1, 3, MINUTE)
    assert not await limits.take("k", 1, 3, MINUTE)
    clock.turn(30)
    assert await limits.take("k", 2, 3, MINUTE)
    assert await limits.take("other", 3, 3, MINUTE)


async def test_taking_nothing_only_asks() -> None:
    limits = Limits(Clock())
    assert await limits.take("k", 3, 3, MINUTE)
    assert await limits.take("k", 0, 3, MINUTE)
    assert not await limits.take("k", 0, 2, MINUTE)


async def test_unique_members_are_counted_once_and_forgotten_by_age() -> None:
    clock = Clock()
    limits = Limits(clock)
    assert await limits.count_unique("k", ["a", "a", "b"], MINUTE) == 2
    clock.turn(40)
    assert await limits.count_unique("k", ["b", "c"], MINUTE) == 3
    clock.turn(40)
    assert await limits.count_unique("k", [], MINUTE) == 1
