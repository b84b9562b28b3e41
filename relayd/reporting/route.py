"""Route ``report``: reads a report that others have sent us, and keeps its summary.

Nothing is ever sent back: a report that can't be read is noted with the reason, and filed into a folder where the
settings name one. The mail itself stays in the store for its retention like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from relayd.errors import SyntaxInvalid
from relayd.queue.outcome import Content, Job, Outcome, Result, Route
from relayd.reporting.read import MOST_MAIL, read_mail
from relayd.reporting.summary import Summary
from relayd.store.report_received import Received
from relayd.telemetry.metrics import REPORTS

log = structlog.get_logger("relayd.reporting")


class ReportRoute:
    """Delivers to the summaries. ``ours`` tells whether a domain is one that we'd get reports about; ``keep`` is how
    long summaries live, in seconds; ``unreadable`` files what can't be read."""

    def __init__(self, ours: Callable[[str], bool], keep: float, unreadable: Route | None = None) -> None:
        self._ours = ours
        self._keep = keep
        self._unreadable = unreadable
        #: A report in memory, unpacked and as a tree, is large: one at a time.
        self._turn = asyncio.Semaphore(1)

    async def deliver(self, job: Job) -> list[Outcome]:
        async with self._turn:
            try:
                summary = await self._read(job.content)
            except SyntaxInvalid as error:
                return await self._not_read(job, str(error))
        received = Received(
            message_id=job.message.id,
            kind=summary.kind,
            organisation=summary.organisation,
            report_id=summary.report_id,
            domain=summary.domain,
            begins=summary.begin,
            ends=summary.end,
            good=summary.good,
            bad=summary.bad,
            detail=msgspec.json.encode(summary).decode(),
        )
        REPORTS.add(summary.kind, "read")
        log.info("report_received", id=job.message.id, kind=summary.kind, domain=summary.domain, bad=summary.bad)
        words = f"read as a {summary.kind} report on {summary.domain}"
        return self._outcomes(job, words, received)

    async def close(self) -> None:
        return

    async def _read(self, content: Content) -> Summary:
        if content.size > MOST_MAIL:
            raise SyntaxInvalid(f"a mail of more than {MOST_MAIL // 2**20} MiB")
        message = b"".join([block async for block in content.blocks()])
        summary = await asyncio.to_thread(read_mail, message)
        if not self._ours(summary.domain):
            raise SyntaxInvalid("it is about a domain that isn't ours")
        return summary

    async def _not_read(self, job: Job, reason: str) -> list[Outcome]:
        REPORTS.add("other", "unreadable")
        log.warning("report_unreadable", id=job.message.id, reason=reason)
        received = Received(message_id=job.message.id, kind="unreadable", detail=reason)
        if self._unreadable is None:
            return self._outcomes(job, f"not readable as a report: {reason}", received)
        filed = await self._unreadable.deliver(job)
        return [self._noted(outcome, received) for outcome in filed]

    def _outcomes(self, job: Job, words: str, received: Received) -> list[Outcome]:
        done = [Outcome(one.number, Result.DELIVERED, "2.0.0", words) for one in job.deliveries]
        return [self._noted(done[0], received), *done[1:]]

    def _noted(self, outcome: Outcome, received: Received) -> Outcome:
        """The outcome with the row that belongs to it; both are committed, or neither."""
        if outcome.result is not Result.DELIVERED:
            return outcome
        arguments: dict[str, Any] = {"received": msgspec.to_builtins(received), "keep": self._keep}
        return Outcome(
            outcome.number, outcome.result, outcome.status, outcome.reply, operations=(("report_receive", arguments),)
        )
