"""Sends the daily reports: claims one that is due, asks DNS who wants it, makes it, and hands it to mail or HTTPS.

Every worker runs this; the store gives each report to one of them at a time. A report's mails are committed together
with the note that they exist, so a crash neither loses nor doubles them. HTTPS can't be part of a commit: a crash
between a server's answer and our note sends the same report, under the same id, once more.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from relayd import failpoints
from relayd.clock import Clock
from relayd.directory.directory import Directory
from relayd.errors import RelaydError, StoreUnavailable
from relayd.mail.address import normalise_domain
from relayd.queue.composer import Composer
from relayd.reporting.counts import Kind
from relayd.reporting.destinations import Destination, Way, parse_uri
from relayd.reporting.heading import Heading, heading
from relayd.reporting.mail import report_mail
from relayd.reporting.post import Poster
from relayd.settings.models import Configuration
from relayd.store.ids import new_id
from relayd.store.interface import Store
from relayd.store.records import NewMessage
from relayd.store.report_counts import Count, Report
from relayd.telemetry.metrics import REPORTS

log = structlog.get_logger("relayd.reporting")

#: Seconds between two looks, give or take half of it.
TICK: Final = 60.0
_SOON: Final = 5.0
#: Seconds that a claimed report is nobody else's: longer than a try takes.
_BUSY: Final = 900.0
#: Seconds before a second try; each further one waits twice as long (RFC 8460 §5.5), up to the last.
_FIRST_WAIT: Final = 900.0
_LONGEST_WAIT: Final = 4 * 3600.0
#: Reports prepared in one call of the store.
_PREPARED: Final = 500


class InForce(Protocol):
    """What reports need of the state that a reload replaces."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def directory(self) -> Directory: ...


class Source(Protocol):
    """What one kind of report is made of."""

    async def destinations(self, report: Report) -> tuple[Destination, ...] | None:
        """Who wants this report; None when DNS can't tell now."""
        ...

    def report(self, heading: Heading, counts: Iterable[Count]) -> bytes | None:
        """The report, not compressed; None when there is nothing to say."""
        ...


@dataclass(frozen=True, slots=True)
class _Step:
    """What a try came to: the report's new state, when it is due again, who still lacks it, and the mails made."""

    state: str
    due: float = 0.0
    left: tuple[Destination, ...] | None = ()
    messages: tuple[NewMessage, ...] = ()


class ReportSender:
    """One worker's part in sending reports. ``wake`` tells the lanes that there is mail."""

    def __init__(
        self,
        *,
        store: Store,
        composer: Composer,
        in_force: Callable[[], InForce],
        sources: Mapping[Kind, Source],
        poster: Callable[[], Poster],
        clock: Clock,
        random: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._composer = composer
        self._in_force = in_force
        self._sources = sources
        self._poster = poster
        self._clock = clock
        self._random = random
        self._wake = wake

    async def run(self) -> None:
        """Look for reports that are due, for ever: for the first time soon, since what fell due while nothing ran has
        waited long enough."""
        await asyncio.sleep(_SOON * self._random())
        while True:
            try:
                await self.round()
            except StoreUnavailable as error:
                log.warning("reports_wait", reason=str(error))
            except Exception:
                log.exception("reports_defect")
            await asyncio.sleep(TICK * (0.5 + self._random()))

    async def round(self) -> int:
        """Send what is due now; how many tries that were. Raises StoreUnavailable."""
        if not self._in_force().configuration.reports.address:
            return 0
        due = await self._store.call("report_next")
        if due is None or due > self._clock.now():
            return 0
        salt = self._in_force().configuration.hostname
        while await self._store.call("report_prepare", salt=salt, limit=_PREPARED) == _PREPARED:
            pass
        tries = 0
        while report := await self._claim():
            tries += 1
            await self._try(report)
        return tries

    async def _claim(self) -> Report | None:
        report: Report | None = await self._store.call("report_claim", busy_until=self._clock.now() + _BUSY)
        return report

    async def _try(self, report: Report) -> None:
        try:
            step = await self._step(report)
        except StoreUnavailable:
            raise
        except (RelaydError, OSError) as error:
            log.error("report_impossible", kind=report.kind, domain=report.domain, error=type(error).__name__)
            step = self._again(report, _left(report))
        except Exception:
            # It comes back when its claim has run out; the others shouldn't wait for it.
            log.exception("report_defect", kind=report.kind, domain=report.domain)
            return
        failpoints.reach("before-report-settled")
        settled = await self._store.call(
            "report_settle",
            report=report,
            state=step.state,
            due=step.due,
            left=None if step.left is None else [str(one) for one in step.left],
            messages=list(step.messages),
        )
        log.info(
            "report",
            kind=report.kind,
            domain=report.domain,
            day=report.day,
            state=step.state if settled else "somebody else's",
            mails=len(step.messages),
            left=len(step.left or ()),
        )
        if settled and step.state != "due":
            REPORTS.add(report.kind, step.state)
        if step.messages and settled:
            self._wake()

    async def _step(self, report: Report) -> _Step:
        kind, configuration = Kind(report.kind), self._in_force().configuration
        if self._clock.now() > report.until:
            return _Step("sent" if report.mails else "failed")
        if not (configuration.reports.tls if kind is Kind.TLS else configuration.reports.dmarc):
            return _Step("unwanted")
        source = self._sources[kind]
        if report.left is None:
            wanted = await source.destinations(report)
            if wanted is None:
                return self._again(report, None)
        else:
            wanted = _left(report) or ()
        framed = heading(configuration, kind, report.domain, report.day)
        made = source.report(framed, report.counts) if wanted else None
        if made is None:
            return _Step("unwanted")
        packed = await asyncio.to_thread(gzip.compress, made, mtime=0)
        fitting = [one for one in wanted if one.limit is None or len(packed) <= one.limit]
        mail = [one for one in fitting if one.way is Way.MAIL]
        posts = tuple(one for one in fitting if one.way is Way.HTTPS)
        if mail:
            messages = [await self._mail(framed, packed, one) for one in mail]
            return _Step("due" if posts else "sent", self._clock.now(), posts, tuple(messages))
        if not posts:
            return _Step("unwanted")
        return await self._post(report, framed, packed, posts)

    async def _mail(self, framed: Heading, packed: bytes, destination: Destination) -> NewMessage:
        in_force, now = self._in_force(), self._clock.now()
        ours = normalise_domain(framed.submitter)
        identity = new_id(self._clock)
        owner = in_force.directory.owner(ours)
        return await self._composer.compose(
            organisation=owner.id if owner else "",
            recipient=destination.target,
            content=report_mail(framed, packed, destination.target, identity, now),
            parent="",
            identity=identity,
        )

    async def _post(self, report: Report, framed: Heading, packed: bytes, posts: Sequence[Destination]) -> _Step:
        left, accepted, poster = list[Destination](), report.mails, self._poster()
        for one in posts:
            posted = await poster.post(one, packed, framed.media_type)
            if posted.problem:
                log.warning("report_not_posted", domain=framed.domain, host=one.host, problem=posted.problem)
                if not posted.final:
                    left.append(one)
            else:
                accepted += 1
        if left:
            return self._again(report, tuple(left))
        return _Step("sent" if accepted else "failed")

    def _again(self, report: Report, left: tuple[Destination, ...] | None) -> _Step:
        wait = min(_FIRST_WAIT * 2.0 ** min(report.tries - 1, 10), _LONGEST_WAIT)
        return _Step("due", self._clock.now() + wait, left)


def _left(report: Report) -> tuple[Destination, ...] | None:
    return None if report.left is None else tuple(parse_uri(uri) for uri in report.left)
