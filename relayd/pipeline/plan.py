"""What the verdicts on one message add up to. Pure: verdicts, headers and recipients in, a plan out.

The rules, in this order:

1. A refusal of the message or of any recipient refuses the whole message: one reply answers for all after DATA.
2. A deferral at MESSAGE defers the whole message. Its policy isn't asked again on retry, so nothing may pass it by.
3. A recipient that nobody gives a route is a refusal too.
4. Recipients deferred at ROUTE stay undecided, unless all are: then the message is deferred.
5. Everyone else is in exactly one copy; recipients with the same header patch and transformation share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.header import Header
from typing import Any, Final

import msgspec

from relayd.journal.event import Event
from relayd.mail.envelope import Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, Reader, Transformation
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import (
    Attach,
    Defer,
    Hold,
    Identify,
    Redirect,
    Refuse,
    Rewrite,
    RouteTarget,
    RouteTo,
    Transform,
    Verdict,
)

#: The kind of the one journal record that holds all verdicts.
JUDGED: Final = "judged"

NO_ROUTE: Final = Reply(
    550,
    "5.7.1",
    "There is no secure way to this recipient. Ask them to have their mail domain connected, or leave them out",
)

_NAMED_AT_MOST: Final = 3


class Judged(msgspec.Struct, frozen=True):
    """One verdict, who gave it, when, and how long it took in seconds. ``error`` names the class and place of the
    exception or says "timeout" when the verdict is what ``on_error`` makes of it."""

    policy: str
    stage: Stage
    verdict: Verdict
    elapsed: float
    error: str = ""


class PlannedDelivery(msgspec.Struct, frozen=True):
    """One recipient's way out; no route means undecided. ``held`` waits for an operator first."""

    recipient: Recipient
    route: RouteTarget | None
    held: bool = False


class CopyPlan(msgspec.Struct, frozen=True):
    """Recipients whose copies are the same: in their header, and in how their content is made anew, if it is."""

    patch: HeaderPatch
    deliveries: tuple[PlannedDelivery, ...]
    transformation: Transformation | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. With a ``reply`` (5yz or 4yz) nothing goes to anyone and ``copies`` is empty.

    ``organisation`` is who the sender proved to be: None when nobody looked, "" for a stranger. ``refused`` is filled
    on retry only: those recipients fail, each with its reply.
    """

    reply: Reply | None = None
    copies: tuple[CopyPlan, ...] = ()
    readers: Mapping[str, Reader] = field(default_factory=dict, repr=False)
    organisation: str | None = None
    refused: Mapping[str, Reply] = field(default_factory=dict)
    judged: tuple[Judged, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def undecided(self) -> tuple[Recipient, ...]:
        """The recipients that are judged again on retry."""
        return tuple(one.recipient for copy in self.copies for one in copy.deliveries if one.route is None)


def make_plan(judged: Sequence[Judged], headers: Headers, recipients: Sequence[Recipient], now: float) -> Plan:
    """The plan for a message at its end of data. ``judged`` holds the verdicts of all stages in order."""
    keys = [recipient.address.key for recipient in recipients]
    reply = _refusal(judged, recipients) or _message_deferral(judged)
    routes, deferred = settled(judged)
    lost = [recipient for recipient in recipients if recipient.address.key not in routes.keys() | deferred.keys()]
    if reply is None and lost:
        reply = _naming(NO_ROUTE, lost, len(recipients))
    if reply is None and keys and all(key in deferred for key in keys):
        reply = deferred[keys[0]]
    return _plan(judged, headers, () if reply else recipients, routes, now, reply=reply)


def make_retry_plan(judged: Sequence[Judged], headers: Headers, recipients: Sequence[Recipient], now: float) -> Plan:
    """The plan for recipients that were undecided: each for itself, for the message was accepted long ago."""
    routes, deferred = settled(judged)
    refused = refused_recipients(judged)
    for recipient in recipients:
        key = recipient.address.key
        if key not in routes and key not in deferred:
            refused.setdefault(key, NO_ROUTE)
    going = [recipient for recipient in recipients if recipient.address.key not in refused]
    return _plan(judged, headers, going, routes, now, refused=refused)


def settled(judged: Iterable[Judged]) -> tuple[dict[str, RouteTarget], dict[str, Reply]]:
    """The routes given and the recipients deferred at ROUTE, by address key: whatever came first for each."""
    routes: dict[str, RouteTarget] = {}
    deferred: dict[str, Reply] = {}
    for one in judged:
        verdict = one.verdict
        for key in verdict.recipients:
            if key in routes or key in deferred:
                continue
            if isinstance(verdict, RouteTo):
                routes[key] = verdict.route
            elif isinstance(verdict, Defer) and one.stage is Stage.ROUTE:
                deferred[key] = verdict.reply
    return routes, deferred


def refused_recipients(judged: Iterable[Judged]) -> dict[str, Reply]:
    """Recipients refused after DATA, each with its first reply."""
    refused: dict[str, Reply] = {}
    for one in _after_data(judged):
        if isinstance(one.verdict, Refuse):
            for key in one.verdict.recipients:
                refused.setdefault(key, one.verdict.reply)
    return refused


def identified(judged: Iterable[Judged]) -> str | None:
    """Who the sender proved to be, as the last Identify says."""
    organisation = None
    for one in judged:
        if isinstance(one.verdict, Identify):
            organisation = one.verdict.organisation
    return organisation


def _plan(
    judged: Sequence[Judged],
    headers: Headers,
    recipients: Sequence[Recipient],
    routes: Mapping[str, RouteTarget],
    now: float,
    *,
    reply: Reply | None = None,
    refused: Mapping[str, Reply] | None = None,
) -> Plan:
    verdicts = [one.verdict for one in judged]
    return Plan(
        reply=reply,
        copies=_copies(verdicts, headers, recipients, routes),
        readers={key: reader for one in verdicts if isinstance(one, Attach) for key, reader in one.readers},
        organisation=identified(judged),
        refused=refused or {},
        judged=tuple(judged),
        events=(Event(now, JUDGED, facts={"verdicts": record(judged)}),),
    )


def _after_data(judged: Iterable[Judged]) -> Iterable[Judged]:
    """Refusals and deferrals at SENDER and RECIPIENT were answered there and then."""
    return (one for one in judged if one.stage in (Stage.MESSAGE, Stage.ROUTE))


def _refusal(judged: Sequence[Judged], recipients: Sequence[Recipient]) -> Reply | None:
    refusals = [one.verdict for one in _after_data(judged) if isinstance(one.verdict, Refuse)]
    if not refusals:
        return None
    whole = next((one for one in refusals if not one.recipients), None)
    if whole is not None:
        return whole.reply
    keys = {key for one in refusals for key in one.recipients}
    meant = [recipient for recipient in recipients if recipient.address.key in keys]
    return _naming(refusals[0].reply, meant, len(recipients))


def _message_deferral(judged: Iterable[Judged]) -> Reply | None:
    return next(
        (one.verdict.reply for one in judged if one.stage is Stage.MESSAGE and isinstance(one.verdict, Defer)), None
    )


def _naming(reply: Reply, meant: Sequence[Recipient], total: int) -> Reply:
    """``reply`` with the recipients it is about. Long lists, and addresses that ASCII can't show, become a count."""
    addresses = list(dict.fromkeys(str(recipient.address) for recipient in meant))
    if addresses and len(addresses) <= _NAMED_AT_MOST and all(address.isascii() for address in addresses):
        whom = f"Refused: {', '.join(addresses)}"
    else:
        whom = f"Refused: {len(meant)} of {total} recipients"
    rest = "" if len(meant) == total else ". Nothing was sent to the others"
    return Reply(reply.code, reply.enhanced, f"{reply.text}\n{whom}{rest}")


def _copies(
    verdicts: Sequence[Verdict],
    headers: Headers,
    recipients: Sequence[Recipient],
    routes: Mapping[str, RouteTarget],
) -> tuple[CopyPlan, ...]:
    rewrites = [one for one in verdicts if isinstance(one, Rewrite)]
    holds = [one for one in verdicts if isinstance(one, Hold)]
    transforms = [one for one in verdicts if isinstance(one, Transform)]
    patches: dict[tuple[int, ...], HeaderPatch] = {}
    sharing: dict[tuple[HeaderPatch, Transformation | None], list[PlannedDelivery]] = {}
    for recipient in recipients:
        key = recipient.address.key
        mine = tuple(number for number, one in enumerate(rewrites) if _concerns(one, key))
        if mine not in patches:
            patches[mine] = patch([rewrites[number] for number in mine], headers)
        held = any(_concerns(one, key) for one in holds)
        made = next((one.transformation for one in transforms if _concerns(one, key)), None)
        sharing.setdefault((patches[mine], made), []).append(PlannedDelivery(recipient, routes.get(key), held))
    return tuple(CopyPlan(one, tuple(deliveries), made) for (one, made), deliveries in sharing.items())


def _concerns(verdict: Verdict, key: str) -> bool:
    return not verdict.recipients or key in verdict.recipients


def patch(rewrites: Sequence[Rewrite], headers: Headers) -> HeaderPatch:
    """The header patch that ``rewrites`` ask for together. The last subject wins; lines stand in order of policies."""
    names = {name.lower() for one in rewrites for name in one.drop}
    subjects = [one.subject for one in rewrites if one.subject is not None]
    put = b"".join(one.put for one in rewrites)
    if subjects:
        names.add("subject")
        put += _subject_line(subjects[-1])
    return HeaderPatch(tuple(one.number for one in headers.fields if one.name in names), put)


def _subject_line(subject: str) -> bytes:
    text = " ".join(subject.split())  # no line end can come in by way of a decoded word
    charset = "us-ascii" if text.isascii() else "utf-8"
    encoded = Header(text, charset, maxlinelen=76, header_name="Subject").encode(linesep="\r\n")
    return f"Subject: {encoded}\r\n".encode("ascii")


def record(judged: Iterable[Judged]) -> list[dict[str, Any]]:
    """The verdicts for the journal: one entry per policy, stage and verdict, with all recipients it is about."""
    entries: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in judged:
        facts = _facts(one)
        entry = entries.setdefault(tuple(facts.items()), facts | {"recipients": [], "ms": 0.0})
        entry["recipients"] += [key for key in one.verdict.recipients if key not in entry["recipients"]]
        entry["ms"] = round(max(entry["ms"], one.elapsed * 1000), 1)
    return list(entries.values())


def _facts(one: Judged) -> dict[str, str]:
    verdict = one.verdict
    facts = {
        "policy": one.policy,
        "stage": one.stage.value,
        "verdict": "route" if isinstance(verdict, RouteTo) else type(verdict).__name__.lower(),
        "reason": verdict.reason,
    }
    if isinstance(verdict, Refuse | Defer):
        facts["reply"] = str(verdict.reply)
    elif isinstance(verdict, RouteTo):
        route = verdict.route
        facts |= {"route": route.kind.value, "target": route.target, "class": route.message_class.value}
    elif isinstance(verdict, Identify):
        facts["organisation"] = verdict.organisation
    elif isinstance(verdict, Transform):
        facts |= {"transform": verdict.transformation.name, **dict(verdict.transformation.options)}
    elif isinstance(verdict, Redirect):
        facts["to"] = str(verdict.to)
    if one.error:
        facts["error"] = one.error
    return facts
