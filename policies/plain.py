"""Ordinary mail: leaves by the recipient domain's MX over the best TLS there is. Off unless the sysadmin lists it.

It stands before ``viewer`` in policies.yaml. A recipient for whom the sender wrote a mobile number is left to the
Viewer: whoever writes one wants the message read after a code.
"""

from __future__ import annotations

from policies.viewer import settings_of, wishes
from relayd.mail.envelope import Listener
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import MessageClass, Pass, RouteKind, RouteTarget, RouteTo, Verdict


class PlainPolicy(Policy[Options]):
    """Routes what is left by MX where the sending organisation's settings say ``allow_plain``."""

    name = "plain"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        assert mail.headers is not None
        organisation = context.directory.organisations.get(mail.origin.organisation or "")
        if not mail.origin.recognised or organisation is None:
            return Pass("strangers' mail isn't relayed")
        if mail.peer.listener is Listener.VIEWER:
            return Pass("what readers write travels securely, or not at all")
        if not settings_of(mail, organisation).allow_plain:
            return Pass(f"{organisation.id} doesn't allow ordinary mail")
        wished = wishes(mail.headers)
        if wished.tags or wished.broken:
            return Pass("the sender asks for the Viewer")
        # RFC 5321 §5.1: no next hop is named, so the recipient domain's MX is.
        route = RouteTarget(RouteKind.RELAY, "", MessageClass.ORDINARY)
        reason = f"{organisation.id} allows ordinary mail"
        keys = [recipient.address.key for recipient in mail.recipients]
        return [RouteTo(reason, (key,), route=route) for key in keys if key not in wished.named]
