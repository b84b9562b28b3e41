"""The Viewer's own addresses: an organisation's mail reaches the reader behind one, reports come to the others.

A reader's answer comes from an address that stands for him (``r.TOKEN`` at ``viewer.mail_domain``). Only the
organisation that he wrote to may use it, and what it sends goes to the Viewer, with the number that the first message
had. Reports on notifications and answers come to ``n.TOKEN``, on what was passed on to ``f.TOKEN``, and are read by
relayd itself.
"""

from __future__ import annotations

from typing import Final

from relayd.mail.address import Address, NullSender
from relayd.mail.envelope import Listener
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, OnError, Options, Policy, Stage, ViewerAddress
from relayd.pipeline.verdict import Attach, Pass, Refuse, RouteKind, RouteTarget, RouteTo, Verdict

#: The same for an address that never was, that has ended, and that is somebody else's to use.
_UNKNOWN: Final = Reply(
    550, "5.1.1", "No such address here, or no longer: write to the recipient's own address, with a mobile number"
)
_NOT_A_REPORT: Final = Reply(550, "5.7.1", "This address takes delivery reports only")
_OURS: Final = Reply(550, "5.7.1", "Mail from this domain comes from the Viewer only")


class RepliesPolicy(Policy[Options]):
    """Refuses what these addresses don't take at ``sender`` and ``recipient``; gives their route at ``route``."""

    name = "replies"
    stages = frozenset({Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE, Stage.ROUTE})
    on_error = OnError.DEFER

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        if stage in (Stage.SENDER, Stage.MESSAGE):
            return _judge_origin(mail, context)
        ours = [one.address for one in mail.recipients if context.directory.is_the_viewers(one.address.domain)]
        verdicts: list[Verdict] = []
        for address in ours:
            verdicts += _judge(mail, address, await context.viewer.look_up(address.local))
        if stage is Stage.RECIPIENT:
            return [one for one in verdicts if isinstance(one, Refuse)]
        return verdicts


def _judge_origin(mail: Mail, context: Context) -> Verdict:
    """Nobody else writes in the Viewer's name, neither in the envelope nor in the header."""
    if mail.peer.listener is Listener.VIEWER:
        return Pass("written in the Viewer")
    sender = mail.envelope.sender
    used = [] if isinstance(sender, NullSender) else [sender]
    if mail.headers is not None:
        used += [*mail.headers.addresses("from"), *mail.headers.addresses("sender")]
    if any(context.directory.is_the_viewers(address.domain) for address in used):
        return Refuse("uses an address of the Viewer's as sender", reply=_OURS)
    return Pass("not in the Viewer's name")


def _judge(mail: Mail, address: Address, found: ViewerAddress | None) -> list[Verdict]:
    whom = (address.key,)
    if found is None:
        return [Refuse("an address of the Viewer's that isn't, or no longer", whom, reply=_UNKNOWN)]
    if found.reader is None:
        if not isinstance(mail.envelope.sender, NullSender):
            return [Refuse("a report has the null sender", whom, reply=_NOT_A_REPORT)]
        return [RouteTo("reports on notifications are read here", whom, route=RouteTarget(RouteKind.BOUNCE))]
    if found.organisation not in mail.origin.candidates:
        return [Refuse("a reader's address, used by somebody he hasn't written to", whom, reply=_UNKNOWN)]
    if mail.headers is not None and mail.origin.organisation != found.organisation:
        return [Refuse("a reader's address, without the proof of who writes", whom, reply=_UNKNOWN)]
    return [
        RouteTo("to the reader, in the Viewer", whom, route=RouteTarget(RouteKind.VIEWER)),
        Attach("the reader behind the address", whom, readers=((address.key, found.reader),)),
    ]
