"""Counting in memory and its way into the store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from relayd.errors import StoreAway, StoreUnavailable
from relayd.reporting import counts
from relayd.reporting.counts import Flusher, Kind, Tally
from relayd.store import report_counts
from relayd.store.report_counts import Count
from relayd.store.sqlite import SqliteStore
from relayd.tls.results import PolicyType, ResultType, TlsResult
from tests.store.rig import DAY, Clock, Rig

GOOD = TlsResult("clinic.example", PolicyType.STS, ("version: STSv1",), ("mx.clinic.example",))
BAD = TlsResult(
    "clinic.example", PolicyType.STS, host="mx.clinic.example", failure=ResultType.CERTIFICATE_EXPIRED, reason="x"
)


def tally(clock: Clock | None = None) -> Tally[TlsResult]:
    made: Tally[TlsResult] = Tally(Kind.TLS, clock or Clock(), lambda result: result.domain)
    made.wanted = True
    return made


async def claimed(store: SqliteStore, clock: Clock) -> list[tuple[str, str, int]]:
    """What the store has counted for the days before ``clock``: domain, facts and how often."""
    await store.call("report_prepare", salt="")
    found = []
    while report := await store.call("report_claim", busy_until=clock.now() + DAY):
        found += [(one.domain, one.facts, one.count) for one in report.counts]
    return found


def test_equal_results_are_one_row_and_days_stay_apart() -> None:
    clock = Clock()
    made = tally(clock)
    for result in (GOOD, GOOD, BAD, GOOD):
        made.note(result)
    clock.turn(DAY)
    made.note(GOOD)
    rows, uncounted = made.take()
    assert uncounted == []
    assert [(one.day, one.domain, one.count) for one in rows] == [
        ("2026-11-23", "clinic.example", 3),
        ("2026-11-23", "clinic.example", 1),
        ("2026-11-24", "clinic.example", 1),
    ]
    assert msgspec.json.decode(rows[1].facts, type=TlsResult) == BAD
    assert made.take() == ([], [])


def test_nothing_is_counted_that_nobody_wants() -> None:
    made = tally()
    made.wanted = False
    made.note(GOOD)
    assert made.take() == ([], [])


def test_a_flood_of_different_results_is_counted_in_one_line() -> None:
    made = tally()
    for number in range(counts.MOST + 7):
        made.note(TlsResult(f"d{number}.example", PolicyType.NONE))
    made.note(TlsResult("d0.example", PolicyType.NONE))
    rows, uncounted = made.take()
    assert len(rows) == counts.MOST
    assert rows[0].count == 2
    assert uncounted == [Count("tls", "2026-11-23", "", "", 7)]


class Flaky:
    """A store that answers with ``error`` once it is set; with ``after`` the call has been done all the same."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.error: Exception | None = None
        self.after = False

    async def call(self, operation: str, **arguments: Any) -> Any:
        if self.error is not None and not self.after:
            raise self.error
        result = await self._store.call(operation, **arguments)
        if self.error is not None:
            raise self.error
        return result


@pytest.mark.parametrize("after", [False, True], ids=["not done", "answer lost"])
async def test_a_flush_that_fails_is_made_up_for_and_counts_once(rig: Rig, store: SqliteStore, after: bool) -> None:
    clock = rig.clock
    made, flaky = tally(clock), Flaky(store)
    flusher = Flusher(flaky, "w0-1", (made,))  # type: ignore[arg-type]
    made.note(GOOD)
    flaky.error, flaky.after = StoreAway("away"), after
    with pytest.raises(StoreUnavailable):
        await flusher.flush()
    made.note(GOOD)
    flaky.error = None
    await flusher.flush()
    await flusher.flush()
    clock.turn(2 * DAY)
    assert [(domain, count) for domain, _, count in await claimed(store, clock)] == [("clinic.example", 2)]


async def test_a_flood_over_a_day_has_its_limits_in_the_store_too(
    rig: Rig, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_counts, "PER_DOMAIN", 3)
    monkeypatch.setattr(report_counts, "PER_DAY", 5)
    rows = [
        Count("tls", "2026-11-23", domain, str(number), 1)
        for domain in ("a.example", "b.example", "c.example")
        for number in range(4)
    ]
    await store.call("report_count", owner="w", number=1, counts=rows, uncounted=[])
    await store.call("report_count", owner="w", number=2, counts=rows[:1], uncounted=[])
    rig.clock.turn(2 * DAY)
    assert sorted(await claimed(store, rig.clock)) == [
        ("a.example", "0", 2),
        ("a.example", "1", 1),
        ("a.example", "2", 1),
        ("b.example", "0", 1),
        ("b.example", "1", 1),
    ]
