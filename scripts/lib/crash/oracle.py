"""The oracle: outside logs against relayd's word, in both directions. Pure: logs go in, a judgement comes out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from scripts.lib.crash.told import Recipient, Told
from scripts.lib.load import SENDER, Acknowledged
from tests.kit.sink import Receipt, Refusal

#: A message to one recipient: Message-ID and address.
Copy = tuple[str, str]
_DONE = ("delivered", "relayed")


@dataclass(frozen=True)
class Arrival:
    """One copy somewhere, with the digest of its body and the moment by ``time.monotonic``."""

    copy: Copy
    sha256: str
    at: float


@dataclass(frozen=True)
class Evidence:
    """What was written down outside relayd, and what relayd says. ``held`` (by queue id and address) were set aside by
    an operator who was told that they are. ``given_in``: the partner takes everything now, so nothing may wait."""

    acknowledged: list[Acknowledged]
    receipts: list[Receipt]
    refusals: list[Refusal]
    mailbox: list[Arrival]
    told: Told
    held: frozenset[tuple[str, str]] = frozenset()
    given_in: bool = False

    def as_of(self, cut: float, again: float) -> Evidence:
        """As if the machine had stood still from ``cut`` to ``again``: what happened meanwhile never did."""
        return replace(
            self,
            acknowledged=[one for one in self.acknowledged if one.at <= cut],
            receipts=[one for one in self.receipts if not cut < one.at < again],
        )

    def arrivals(self) -> list[Arrival]:
        """All copies at the partner and in the mailbox, in the order of time."""
        found = [
            Arrival((receipt.message_id, address), receipt.sha256, receipt.at)
            for receipt in self.receipts
            for address in receipt.recipients
        ]
        return sorted([*found, *self.mailbox], key=lambda one: one.at)


@dataclass
class Judgement:
    """``lost`` names messages of which a recipient got neither the mail nor a report, and why. ``contradictions`` are
    things that relayd says and the logs don't, or the other way round. ``again`` are pairs of moments at which the same
    copy arrived."""

    acknowledged: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    again: list[tuple[float, float]] = field(default_factory=list)


def judge(evidence: Evidence) -> Judgement:
    """What the logs come to, when relayd has done what it could."""
    found = Judgement(acknowledged=len(evidence.acknowledged))
    arrived: dict[Copy, list[Arrival]] = defaultdict(list)
    for arrival in evidence.arrivals():
        arrived[arrival.copy].append(arrival)
    outside = _Outside(
        arrived={(copy, one.sha256) for copy, all_of_it in arrived.items() for one in all_of_it},
        refused={one.recipient for one in evidence.refusals if one.reply.startswith("5")},
        reports=_reports(evidence.receipts),
    )
    for message in evidence.acknowledged:
        for address in message.recipients:
            told = evidence.told.of(message.queue_id, address)
            held = (message.queue_id, address) in evidence.held
            missing, wrong = _fate(message, address, told, outside, held=held)
            if told and told.state == "queued" and not missing and not wrong and evidence.given_in:
                missing = "it never came, though the partner takes it"
            if told and told.state == "failed" and message.queue_id not in evidence.told.reported:
                wrong = "relayd says failed, and its journal of no report"
            if missing:
                found.lost.setdefault(message.message_id, f"{message.queue_id} to {address}: {missing}")
            found.contradictions += [f"{message.queue_id} to {address}: {wrong}"] if wrong else []
    found.contradictions += _unknown_arrivals(evidence)
    found.contradictions += [f"{address}: {n} reports" for address, n in outside.reports.items() if n > 1]
    for all_of_it in arrived.values():
        found.again += [(a.at, b.at) for a, b in pairwise(all_of_it)]
    return found


@dataclass(frozen=True)
class _Outside:
    """The outside logs, ready to be asked."""

    arrived: set[tuple[Copy, str]]
    refused: set[str]
    reports: Counter[str]


def _fate(
    message: Acknowledged, address: str, told: Recipient | None, outside: _Outside, *, held: bool
) -> tuple[str, str]:
    """Why a recipient counts as lost, and what is wrong with relayd's word for it; "" each when nothing is."""
    there = ((message.message_id, address), message.sha256) in outside.arrived
    if told is None:
        return ("", "it arrived, and relayd doesn't know it") if there else ("relayd doesn't know it", "")
    said = f"relayd says {told.state}"
    if held and told.state != "held":
        return "", f"an operator was told that it is held; {said}"
    if told.state in _DONE:
        wrong = "" if told.arrivals == 1 else f"{said}, its journal {told.arrivals} times"
        return ("", wrong) if there else (said, "")
    if there:
        return "", f"it arrived; {said}"
    if told.state == "failed":
        wrong = "" if address in outside.refused else "relayd says failed, but nobody refused it"
        return ("", wrong) if address in outside.reports else ("relayd says failed, and no report came", wrong)
    if told.state == "held":
        # By relayd itself, which does that to what it can't read any more.
        return ("", "") if held else ("relayd says held, and no operator did that", "")
    # Still in the queue: right for what the partner never takes, and for nothing else once relayd is at rest.
    return ("", "") if address.startswith("never") else (f"it never came; {said}", "")


def _unknown_arrivals(evidence: Evidence) -> Iterator[str]:
    """What came out of relayd without standing as delivered in its journal. Its own reports carry no trace of it."""
    for receipt in evidence.receipts:
        for address in receipt.recipients:
            told = evidence.told.of(receipt.queue_id, address)
            if receipt.queue_id and (told is None or told.state not in _DONE):
                yield f"{receipt.queue_id} to {address} arrived; relayd says {told.state if told else 'nothing'}"


def _reports(receipts: Iterable[Receipt]) -> Counter[str]:
    """How many different reports of a failure came to the sender, by the recipient they are about."""
    reports = {
        (address, receipt.message_id)
        for receipt in receipts
        if SENDER in receipt.recipients
        for address, action in receipt.reported.items()
        if action == "failed"
    }
    return Counter(address for address, _ in reports)


def explained(again: tuple[float, float], deaths: Iterable[tuple[str, float, float]], still_arriving: float) -> str:
    """The kind of the death that came between two arrivals of one copy, "" without any: the first after the first
    arrival, or one shortly before it, since for ``still_arriving`` seconds the partner may take what was sent before.
    """
    first, second = again
    between = [one for one in deaths if one[1] <= second and first <= one[2] + still_arriving]
    after = [one for one in between if one[2] >= first]
    return (after or between)[0][0] if between else ""
