"""The arithmetic of retrying: never too early, never for ever, and the newest configuration counts."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from relayd.queue.retry import delay_notice_due, expired, next_attempt

seconds = st.integers(1, 10**6).map(lambda s: timedelta(seconds=s))
schedules = st.lists(seconds, min_size=1, max_size=8)
moments = st.floats(0, 4e9, allow_nan=False)
chance = st.floats(0, 1, exclude_max=True)


@given(
    received=moments, age=st.floats(0, 1e7), attempts=st.integers(0, 10**6), schedule=schedules, life=seconds, r=chance
)
def test_the_next_attempt_lies_ahead_and_within_the_lifetime(
    received: float, age: float, attempts: int, schedule: list[timedelta], life: timedelta, r: float
) -> None:
    now = received + age
    at = next_attempt(received, attempts, now, schedule, life, lambda: r)
    if at is None:
        assert expired(received, now, life)
    else:
        assert now < at <= received + life.total_seconds()
        assert at - now <= max(schedule).total_seconds() * 1.1 + 1e-6  # floats round


@given(schedule=schedules, life=seconds, r=chance)
def test_every_delivery_comes_to_an_end(schedule: list[timedelta], life: timedelta, r: float) -> None:
    life = min(life, min(schedule) * 200)
    now, attempts = 1000.0, 0
    while (at := next_attempt(1000.0, attempts, now, schedule, life, lambda: r)) is not None:
        attempts += 1
        assert at > now
        now = at
    assert now == 1000.0 + life.total_seconds()


@given(received=moments, attempts=st.integers(0, 100), schedule=schedules, life=seconds)
def test_a_lowered_lifetime_ends_what_is_older(
    received: float, attempts: int, schedule: list[timedelta], life: timedelta
) -> None:
    now = received + life.total_seconds() + 1
    assert next_attempt(received, attempts, now, schedule, life, lambda: 0.5) is None


def test_waits_follow_the_schedule_and_its_last_one_repeats() -> None:
    schedule = [timedelta(minutes=m) for m in (1, 2, 5)]
    waits = [next_attempt(0, n, 100, schedule, timedelta(days=2), lambda: 0.5) for n in (1, 2, 3, 4, 50)]
    assert [w - 100 for w in waits if w is not None] == [60, 120, 300, 300, 300]


def test_what_failed_together_is_not_tried_together() -> None:
    schedule = [timedelta(minutes=10)]
    first = next_attempt(0, 1, 0, schedule, timedelta(days=2), lambda: 0.0)
    last = next_attempt(0, 1, 0, schedule, timedelta(days=2), lambda: 0.999)
    assert first is not None
    assert last is not None
    assert last - first > 100


def test_the_delay_is_told_once() -> None:
    hour = timedelta(hours=1)
    assert not delay_notice_due(0, 3599, False, hour)
    assert delay_notice_due(0, 3600, False, hour)
    assert not delay_notice_due(0, 9999, True, hour)
