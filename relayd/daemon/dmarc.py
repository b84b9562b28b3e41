"""Hands what a message tells its author's domain to whoever counts it for the daily reports."""

from __future__ import annotations

from relayd.authenticity.observation import DmarcResults, observe
from relayd.authenticity.results import Authentication
from relayd.mail.address import NullSender
from relayd.pipeline.plan import Plan
from relayd.pipeline.policy import Mail
from relayd.pipeline.verdict import Hold, Refuse

#: The policy that does what a record asks for.
_POLICY = "authenticity"


def note_dmarc(results: DmarcResults, mail: Mail, authentication: Authentication | None, plan: Plan) -> None:
    """Count a message that was accepted or refused. Without ``authentication`` nobody asked who wrote it."""
    if authentication is None:
        return
    verdicts = [one.verdict for one in plan.judged if one.policy == _POLICY]
    sender = mail.envelope.sender
    observation = observe(
        str(mail.peer.address),
        mail.peer.helo if isinstance(sender, NullSender) else sender.domain,
        authentication,
        refused=any(isinstance(one, Refuse) for one in verdicts),
        held=any(isinstance(one, Hold) for one in verdicts),
        reason=next((one.reason for one in verdicts), ""),
    )
    if observation is not None:
        results.note(observation)
