"""What relayd counts about itself, for Prometheus. Every metric is declared here, with its name, labels and meaning.

A label has a closed set of values, so nothing personal and nothing that a stranger chooses can become one: what isn't
in the set counts as ``other``. So each combination has a fixed place in a row of numbers, and each process a row of its
own in memory that all share since before the fork (:class:`Board`). Counting is one addition, without a lock, a system
call or a file; whoever serves the metrics adds up the rows. A process that died leaves its counts to its successor.

Processes that aren't the daemon's count into a row that nobody reads.
"""

from __future__ import annotations

import math
import mmap
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Final

import phonenumbers

import policies

OTHER: Final = "other"

#: All metrics, in the order of their places.
FAMILIES: Final[list[Family]] = []


class Family:
    """One metric in all combinations of its labels' values, which have consecutive places in a row."""

    def __init__(self, name: str, meaning: str, labels: Mapping[str, Sequence[str]] | None = None) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = {label: (*values, OTHER) for label, values in (labels or {}).items()}
        start = sum(len(family.places) for family in FAMILIES)
        combinations = product(*self.labels.values())
        self.places: dict[tuple[str, ...], int] = {values: start + at for at, values in enumerate(combinations)}
        FAMILIES.append(self)

    def place(self, values: tuple[str, ...]) -> int:
        """Where the combination of ``values`` is kept; they are in the labels' order."""
        place = self.places.get(values)
        if place is None:
            allowed = zip(values, self.labels.values(), strict=True)
            place = self.places[tuple(value if value in known else OTHER for value, known in allowed)]
        return place


class Counter(Family):
    """Only ever grows."""

    def add(self, *values: str, amount: int = 1) -> None:
        """Count ``amount`` more for these label values."""
        _row[self.place(values)] += amount


class Gauge(Family):
    """What is so at the moment. ``combine`` makes one value of those that the processes have set; a process that was
    started anew has set none."""

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Mapping[str, Sequence[str]] | None = None,
        *,
        combine: Callable[[Iterable[float]], float],
    ) -> None:
        super().__init__(name, meaning, labels)
        self.combine = combine

    def set(self, value: float | None, *values: str) -> None:
        """Say what is so for these label values; None when it isn't known any more."""
        _row[self.place(values)] = math.nan if value is None else value


_RESULTS: Final = ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")

ACCEPTED: Final = Counter(
    "relayd_messages_accepted_total",
    "Messages that were acknowledged with 250, by the kind of listener; viewer for those that readers wrote.",
    {"listener": ("relay", "submission", "viewer")},
)
REFUSED: Final = Counter(
    "relayd_refusals_total",
    "Commands and messages that a policy refused (5yz) or put off (4yz). Policies of your own count as other, as does "
    "a message for which no policy gave a route.",
    {"policy": sorted(module.name for module in pkgutil.iter_modules(policies.__path__)), "reply": ("4yz", "5yz")},
)
DELIVERIES: Final = Counter(
    "relayd_delivery_attempts_total",
    "Outcomes of delivery attempts, one for each recipient.",
    {
        "route": ("relay", "mailbox", "viewer", "folder", "report"),
        "result": ("delivered", "relayed", "failed", "deferred", "ambiguous"),
    },
)
COPIES_MADE: Final = Counter(
    "relayd_copies_made_anew_total",
    "Copies whose content was to be made anew, such as EDI as HTML: one that can't be made goes out as it came.",
    {"transform": ("edi",), "result": ("made", "not-made")},
)
TLS_IN: Final = Counter(
    "relayd_tls_inbound_sessions_total",
    "Finished TLS handshakes on the SMTP listeners, by version; failed for those that came to nothing.",
    {"version": ("TLSv1.2", "TLSv1.3", "failed")},
)
TLS_OUT: Final = Counter(
    "relayd_tls_outbound_sessions_total",
    "TLS sessions with next hops, by what they had to prove and did: dane (a TLSA record), verified (a name or a pin) "
    "or encrypted (nothing).",
    {"proof": ("dane", "verified", "encrypted"), "version": ("TLSv1.2", "TLSv1.3")},
)
TLS_OUT_FAILURES: Final = Counter(
    "relayd_tls_outbound_failures_total",
    "Connections to next hops that were given up for their TLS: starttls (not offered), handshake (failed), "
    "certificate (not trusted), proof (not what was demanded).",
    {"reason": ("starttls", "handshake", "certificate", "proof")},
)
AUTHENTICITY: Final = Counter(
    "relayd_authentication_results_total",
    "Results of SPF, DKIM (each signature), DMARC and ARC for messages from outside, in the words of RFC 8601.",
    {"method": ("spf", "dkim", "dmarc", "arc"), "result": _RESULTS},
)
REPORTS: Final = Counter(
    "relayd_reports_total",
    "Daily reports on TLS and DMARC. Ours: sent, unwanted (nobody asks for it, or may have it), failed (not reached in "
    "time). Those of others: read, unreadable (of kind other).",
    {"kind": ("tls", "dmarc"), "result": ("sent", "unwanted", "failed", "read", "unreadable")},
)
SMS: Final = Counter(
    "relayd_sms_total",
    "SMS with access codes, one for each gateway that was asked: accepted, refused, unreachable (it surely didn't take "
    "it), uncertain (its answer was lost).",
    {"result": ("accepted", "refused", "unreachable", "uncertain")},
)
SMS_BY_COUNTRY: Final = Gauge(
    "relayd_sms_last_hour",
    "SMS of the last hour by country: sent, and used (the right code was entered). Absent where there were none.",
    {"country": sorted(phonenumbers.SUPPORTED_REGIONS), "what": ("sent", "used")},
    combine=max,
)
SMS_FRAUD: Final = Gauge(
    "relayd_sms_fraud_suspected",
    "1 while so few of a country's SMS lead to a right code that somebody may be earning from them.",
    {"country": sorted(phonenumbers.SUPPORTED_REGIONS)},
    combine=max,
)
RESOLVER_VALIDATES: Final = Gauge(
    "relayd_resolver_validates",
    "1 when the last self-test found that the resolver validates DNSSEC, 0 when it doesn't: DANE and NTA 7516 are off "
    "then. The worst of all processes.",
    combine=min,
)
QUEUE: Final = Gauge(
    "relayd_queue_deliveries",
    "Open deliveries: waiting for their time or for a worker, in_hand (being tried), held (waiting for an operator). "
    "Absent while the store doesn't answer.",
    {"state": ("waiting", "in_hand", "held")},
    combine=max,
)
QUEUE_LATE: Final = Gauge(
    "relayd_queue_overdue_seconds",
    "For how long the delivery that should have been tried first has been due; 0 when none is due.",
    combine=max,
)
QUEUE_OLDEST: Final = Gauge(
    "relayd_queue_oldest_seconds",
    "Age of the oldest message with a delivery that waits; 0 when none does.",
    combine=max,
)

_SIZE: Final = sum(len(family.places) for family in FAMILIES)
_row = memoryview(bytearray(_SIZE * 8)).cast("d")


class Board:
    """A row for each process. Made before they are forked; a row is written by its process only."""

    def __init__(self, processes: Sequence[str]) -> None:
        shared = memoryview(mmap.mmap(-1, len(processes) * _SIZE * 8)).cast("d")
        self._rows = {name: shared[at * _SIZE : (at + 1) * _SIZE] for at, name in enumerate(processes)}
        for row in self._rows.values():
            _forget_gauges(row)

    def count_here(self, process: str) -> None:
        """From now on this process counts as ``process``, and continues that one's counters."""
        global _row
        _row = self._rows[process]
        _forget_gauges(_row)

    def values(self, family: Family) -> dict[tuple[str, ...], float]:
        """The metric's values by their labels' values, all processes together. A gauge that none has set is absent, and
        so is what never counted as ``other``."""
        columns = {labels: [row[place] for row in self._rows.values()] for labels, place in family.places.items()}
        if not isinstance(family, Gauge):
            totals = {labels: sum(column) for labels, column in columns.items()}
            return {labels: total for labels, total in totals.items() if total or OTHER not in labels}
        said = {labels: [value for value in column if not math.isnan(value)] for labels, column in columns.items()}
        return {labels: family.combine(column) for labels, column in said.items() if column}


def _forget_gauges(row: memoryview[float]) -> None:
    for family in FAMILIES:
        if isinstance(family, Gauge):
            for place in family.places.values():
                row[place] = math.nan
