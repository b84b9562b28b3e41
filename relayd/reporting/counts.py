"""Counting what the daily reports say: in memory, and every half a minute into the store.

A crash loses what was counted since the last flush, at most half a minute: a report is statistics, and no message
waits for one. Memory is bounded: beyond :data:`MOST` different results of one kind between two flushes the others are
counted together.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from relayd.clock import Clock
from relayd.errors import StoreUnavailable
from relayd.store.interface import Store
from relayd.store.report_counts import Count, day_of

log = structlog.get_logger("relayd.reporting")

R = TypeVar("R", bound=Hashable)

#: Different results of one kind that are kept apart between two flushes.
MOST: Final = 5_000
#: Seconds between two flushes.
EVERY: Final = 30.0
#: Counts in one call of the store: what one transaction of others may have to wait for.
_BATCH: Final = 500


class Kind(StrEnum):
    """TLS: sessions with receiving servers, for TLSRPT. DMARC: messages of strangers, for their From domain."""

    TLS = "tls"
    DMARC = "dmarc"


class Tally(Generic[R]):
    """The results of one kind since the last flush. ``domain_of`` says whose report a result goes into. While not
    ``wanted`` nothing is counted."""

    def __init__(self, kind: Kind, clock: Clock, domain_of: Callable[[R], str]) -> None:
        self.kind = kind
        self.wanted = False
        self._clock = clock
        self._domain_of = domain_of
        self._counts: dict[tuple[str, R], int] = {}
        self._uncounted: dict[str, int] = {}

    def note(self, result: R) -> None:
        """Count one. Doesn't wait and never raises: a count is never worth a message."""
        if not self.wanted:
            return
        day = day_of(self._clock.now())
        key = (day, result)
        if (count := self._counts.get(key)) is not None:
            self._counts[key] = count + 1
        elif len(self._counts) < MOST:
            self._counts[key] = 1
        else:
            self._uncounted[day] = self._uncounted.get(day, 0) + 1

    def take(self) -> tuple[list[Count], list[Count]]:
        """What was counted and what wasn't, as rows; the tally begins anew."""
        counts, self._counts = self._counts, {}
        uncounted, self._uncounted = self._uncounted, {}
        rows = [
            Count(self.kind.value, day, self._domain_of(result), msgspec.json.encode(result).decode(), count)
            for (day, result), count in counts.items()
        ]
        return rows, [Count(self.kind.value, day, "", "", count) for day, count in uncounted.items()]


class Flusher:
    """Brings tallies into the store. ``owner`` is this process in this life."""

    def __init__(self, store: Store, owner: str, tallies: Iterable[Tally[Any]]) -> None:
        self._store = store
        self._owner = owner
        self._tallies = tuple(tallies)
        self._numbers = itertools.count(1)
        #: Batches whose call didn't answer: sent again as they are, so that none counts twice.
        self._unanswered: list[_Batch] = []

    async def run(self) -> None:
        """Flush for ever; the last flush is the caller's."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.flush()
            except StoreUnavailable:
                continue  # what isn't there now is sent again with the next flush
            except Exception:
                log.exception("counts_defect")

    async def flush(self) -> None:
        """Everything counted so far. Raises StoreUnavailable, and keeps what the store didn't take."""
        self._unanswered += self._batches()
        while self._unanswered:
            batch = self._unanswered[0]
            try:
                await self._store.call(
                    "report_count",
                    owner=self._owner,
                    number=batch.number,
                    counts=batch.counts,
                    uncounted=batch.uncounted,
                )
            except StoreUnavailable:
                self._shorten()
                raise
            del self._unanswered[0]

    def _batches(self) -> Iterator[_Batch]:
        for tally in self._tallies:
            counts, uncounted = tally.take()
            if uncounted:
                log.warning("results_not_counted", kind=tally.kind.value, results=sum(one.count for one in uncounted))
            for start in range(0, len(counts), _BATCH):
                yield _Batch(next(self._numbers), counts[start : start + _BATCH], [])
            if uncounted:
                yield _Batch(next(self._numbers), [], uncounted)

    def _shorten(self) -> None:
        """While the store is sick for long, the oldest counts go."""
        most = len(self._tallies) * MOST // _BATCH
        if (lost := len(self._unanswered) - most) > 0:
            del self._unanswered[:lost]
            log.warning("results_lost", batches=lost)


class _Batch(msgspec.Struct):
    number: int
    counts: list[Count]
    uncounted: list[Count]
