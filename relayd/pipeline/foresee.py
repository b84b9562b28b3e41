"""What would happen to a message: the pipeline run on it from MAIL to the plan, without sending or storing anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from relayd.directory.directory import Directory, Origin
from relayd.mail.address import Domain, Sender
from relayd.mail.envelope import Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.reply import Reply
from relayd.pipeline.plan import CopyPlan, Judged, Plan, PlannedDelivery, record
from relayd.pipeline.policy import Context
from relayd.pipeline.runner import Pipeline, answer
from relayd.pipeline.sample import envelope_mail, with_content
from relayd.pipeline.verdict import RouteKind


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one recipient. ``outcome`` is a route, "undecided", "refused" or "deferred"."""

    recipient: str
    outcome: str
    target: str = ""
    message_class: str = ""
    held: bool = False
    next_hops: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    transform: dict[str, str] = field(default_factory=dict)
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The whole course: who sends, what was judged in order, the last reply, and each recipient's fate."""

    origin: Origin
    accepted: bool
    reply: str
    fates: tuple[Fate, ...]
    judged: tuple[Judged, ...] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "origin": {
                "via": self.origin.via.value,
                "organisations": list(self.origin.candidates),
                "platform": self.origin.platform,
                "account": self.origin.account,
            },
            "accepted": self.accepted,
            "reply": self.reply,
            "recipients": [{name: getattr(fate, name) for name in Fate.__dataclass_fields__} for fate in self.fates],
            "verdicts": record(self.judged),
        }


async def foresee(
    pipeline: Pipeline, context: Context, peer: Peer, sender: Sender, recipients: Sequence[Recipient], content: bytes
) -> Foreseen:
    """Judge the message as if it came in now."""
    origin = context.directory.recognise(peer)
    mail = envelope_mail(peer, origin, sender, recipients)
    judged = await pipeline.judge_sender(replace(mail, recipients=()), context)
    if reply := answer(judged):
        return Foreseen(origin, False, str(reply), _all(recipients, reply), tuple(judged))
    fates: list[Fate] = []
    accepted: list[Recipient] = []
    for recipient in recipients:
        asked = await pipeline.judge_recipient(replace(mail, recipients=(recipient,)), context)
        judged += asked
        if reply := answer(asked):
            fates += _all([recipient], reply)
        else:
            accepted.append(recipient)
    if not accepted:
        return Foreseen(origin, False, fates[-1].reply if fates else "", tuple(fates), tuple(judged))
    mail = with_content(envelope_mail(peer, origin, sender, accepted), content)
    plan = await pipeline.judge_message(mail, context, earlier=judged)
    if plan.reply is not None:
        return Foreseen(origin, False, str(plan.reply), (*fates, *_all(accepted, plan.reply)), plan.judged)
    headers = mail.headers or Headers(b"")
    fates += [_fate(one, copy, headers, context.directory) for copy in plan.copies for one in copy.deliveries]
    return Foreseen(origin, True, _accepted(plan), tuple(fates), plan.judged)


def _accepted(plan: Plan) -> str:
    held = sum(one.held for copy in plan.copies for one in copy.deliveries)
    return f"250 2.0.0 Accepted{f', {held} held' if held else ''}"


def _all(recipients: Sequence[Recipient], reply: Reply) -> tuple[Fate, ...]:
    outcome = "deferred" if reply.temporary else "refused"
    return tuple(Fate(str(recipient.address), outcome, reply=str(reply)) for recipient in recipients)


def _fate(planned: PlannedDelivery, copy: CopyPlan, headers: Headers, directory: Directory) -> Fate:
    route = planned.route
    numbers = set(copy.patch.drop)
    fate = Fate(
        recipient=str(planned.recipient.address),
        outcome=route.kind.value if route else "undecided",
        target=route.target if route else "",
        message_class=route.message_class.value if route else "",
        held=planned.held,
        dropped=tuple(one.name for one in headers.fields if one.number in numbers),
        added=tuple(one.name for one in Headers(copy.patch.put).fields),
        transform={"name": made.name, **dict(made.options)} if (made := copy.transformation) else {},
    )
    if route is None or route.kind is not RouteKind.RELAY:
        return fate
    return dataclasses.replace(fate, next_hops=_next_hops(route.target, directory))


def _next_hops(target: str, directory: Directory) -> tuple[str, ...]:
    """What the directory names; hosts that DNS names are known at delivery only."""
    domain = Domain(target.removeprefix("nta:"))
    if domain != target:
        listed = directory.nta.get(domain)
        return listed.hosts if listed else ()
    entry = directory.domainbook.get(domain)
    return entry.next_hops if entry else ()
