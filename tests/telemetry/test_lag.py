"""The sampler of the event loop's lag, with a loop and a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import cast

import pytest
import structlog

from relayd.telemetry.lag import BOUNDS, LagHistogram, LagSampler, quantile
from relayd.telemetry.log import configure


class SteeredLoop:
    """Runs its one timer when the test says so, however late that is. Also the clock."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.cpu = 0.0
        self._due = 0.0
        self._callback: Callable[[], None] | None = None

    def call_later(self, delay: float, callback: Callable[[], None]) -> SteeredLoop:
        assert delay >= 0
        self._due, self._callback = self.time + delay, callback
        return self

    def cancel(self) -> None:
        self._callback = None

    def now(self) -> float:
        return self.time

    def boot(self) -> float:
        return self.time

    def come(self, late: float = 0.0, busy: float = 0.0) -> None:
        """The timer comes this much later than it is due, the loop's thread having worked for ``busy`` meanwhile."""
        self.time = self._due + late
        self.cpu += busy
        assert self._callback is not None
        self._callback()

    @property
    def armed(self) -> bool:
        return self._callback is not None

    def sampler(self, histogram: LagHistogram) -> LagSampler:
        return LagSampler(cast(asyncio.AbstractEventLoop, self), histogram, self, lambda: self.cpu)


def test_a_loop_that_keeps_up_has_no_lag() -> None:
    loop, histogram = SteeredLoop(), LagHistogram()
    with loop.sampler(histogram):
        for _ in range(100):
            loop.come(late=0.0002)
    counts = histogram.counts()
    assert counts[0] == sum(counts) == 100
    assert quantile(counts, 0.99) == quantile(counts, 1) == BOUNDS[0]
    assert not loop.armed


def test_a_stall_counts_for_every_sample_that_fell_into_it() -> None:
    """Half of the time is one stall, so half of the samples are late: each by as much as is left of the stall."""
    loop, histogram = SteeredLoop(), LagHistogram()
    with loop.sampler(histogram):
        for _ in range(20):
            loop.come()
        loop.come(late=1.0)
        loop.come()
    counts = histogram.counts()
    assert 20 <= sum(counts) - counts[0] <= 21
    assert quantile(counts, 1) == 1000
    assert quantile(counts, 0.7) == 500
    assert quantile(counts, 0.25) == BOUNDS[0]


def test_after_a_long_stop_the_sampler_goes_on_from_now() -> None:
    loop, histogram = SteeredLoop(), LagHistogram()
    with loop.sampler(histogram):
        loop.come(late=3600.0)
        before = sum(histogram.counts())
        loop.come()
        assert before <= 60 / 0.05 + 1
        assert sum(histogram.counts()) == before + 1


def test_standing_still_is_in_the_log_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    configure("json", "worker-0")
    try:
        loop = SteeredLoop()
        with loop.sampler(LagHistogram()):
            loop.come(late=0.2)
            loop.come(late=0.4, busy=0.39)
        (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    finally:
        structlog.reset_defaults()
    assert line["event"] == "loop_stood_still"
    assert line["level"] == "warning"
    assert line["process"] == "worker-0"
    assert (line["seconds"], line["busy"]) == (0.4, 0.39)


def test_another_process_reads_what_was_counted_and_a_new_life_starts_at_nought() -> None:
    histogram = LagHistogram()
    child = os.fork()
    if child == 0:
        histogram.add(0.012)
        os._exit(0)
    os.waitpid(child, 0)
    assert quantile(histogram.counts(), 1) == 15
    with SteeredLoop().sampler(histogram):
        assert sum(histogram.counts()) == 0


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ([], 0.99, None),
        ([0.010], 1, 10),
        ([0.0101], 1, 15),
        ([500.0], 1, BOUNDS[-1]),
        ([0.001] * 99 + [3.0], 0.99, 1),
        ([0.001] * 98 + [3.0] * 2, 0.99, 5000),
    ],
)
def test_quantiles_are_the_end_of_a_bucket(seconds: list[float], share: float, expected: int | None) -> None:
    histogram = LagHistogram()
    for each in seconds:
        histogram.add(each)
    assert quantile(histogram.counts(), share) == expected
