"""What mail from outside gets when its author isn't proven: what the author's domain asks for by DMARC (RFC 9989 §5.4).

Mail of recognised peers isn't looked at: who they are is proven in other ways, and nothing is asked of DNS for them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from relayd.authenticity.authentication_results import summary
from relayd.authenticity.observation import FROM_A_FORWARDER
from relayd.authenticity.results import Disposition, Dmarc, Result
from relayd.directory.networks import NetworkTable
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, OnError, Options, Policy, Stage
from relayd.pipeline.verdict import Defer, Hold, Pass, Refuse, Verdict
from relayd.settings.values import Network


class Action(StrEnum):
    """What a message gets."""

    REFUSE = "refuse"
    HOLD = "hold"
    PASS = "pass"  # noqa: S105 (no secret)


class AuthenticityOptions(Options):
    """Options of ``authenticity``."""

    dmarc_reject: Action = Field(
        Action.REFUSE, description="A message that fails DMARC, and whose author's domain asks to reject it."
    )
    dmarc_quarantine: Action = Field(
        Action.HOLD, description="A message that fails DMARC, and whose author's domain asks for its quarantine."
    )
    several_authors: Action = Field(
        Action.REFUSE,
        description="A message whose From names authors of several domains, to which DMARC doesn't apply.",
    )
    trusted_forwarders: tuple[Network, ...] = Field(
        (), description="Networks of servers that pass others' mail on, which breaks SPF and often DKIM: they may."
    )


_UNKNOWN: Final = Reply(451, "4.4.3", "DMARC: DNS doesn't tell whether this message is its author's; try again later")
_SEVERAL: Final = Reply(550, "5.7.1", "DMARC: From must name authors of one domain only")


class AuthenticityPolicy(Policy[AuthenticityOptions]):
    """See the module's text and ``docs/policies/authenticity.md``."""

    name = "authenticity"
    stages = frozenset({Stage.MESSAGE})
    Options = AuthenticityOptions
    timeout: ClassVar[float] = 30.0
    on_error = OnError.DEFER

    def __init__(self, options: AuthenticityOptions) -> None:
        super().__init__(options)
        self._forwarders = NetworkTable((network, True) for network in options.trusted_forwarders)

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
        if mail.origin.recognised:
            return Pass("not from outside")
        found = await context.authenticator.authenticate(mail)
        verdict = self._objection(found.dmarc)
        if verdict is None:
            return Pass(summary(found))
        if self._forwarders.find(mail.peer.address):
            return Pass(FROM_A_FORWARDER)
        return verdict

    def _objection(self, dmarc: Dmarc) -> Verdict | None:
        if dmarc.result is Result.PERMERROR:
            return _verdict(self.options.several_authors, "From has authors of several domains", _SEVERAL)
        if dmarc.result is Result.FAIL:
            reason = f"DMARC fails, and the author's domain asks for {dmarc.disposition}"
            return _verdict(self._action(dmarc.disposition), reason, _failing(dmarc))
        if dmarc.result is Result.TEMPERROR and self._may_matter(dmarc):
            return Defer("DNS doesn't tell all that DMARC needs", reply=_UNKNOWN)
        return None

    def _action(self, disposition: Disposition) -> Action:
        return {
            Disposition.REJECT: self.options.dmarc_reject,
            Disposition.QUARANTINE: self.options.dmarc_quarantine,
            Disposition.NONE: Action.PASS,  # RFC 9989 §5.4: p=none changes nothing
        }[disposition]

    def _may_matter(self, dmarc: Dmarc) -> bool:
        """Whether anything would be done if DMARC failed. Of an unknown record, anything may be asked."""
        asked = [dmarc.disposition] if dmarc.policy_domain else list(Disposition)
        return any(self._action(disposition) is not Action.PASS for disposition in asked)


def _verdict(action: Action, reason: str, reply: Reply) -> Verdict | None:
    match action:
        case Action.REFUSE:
            return Refuse(reason, reply=reply)
        case Action.HOLD:
            return Hold(reason)
        case Action.PASS:
            return None


def _failing(dmarc: Dmarc) -> Reply:
    text = f"DMARC: neither SPF nor DKIM proves this to be mail of {dmarc.domain}, whose policy is {dmarc.disposition}"
    return Reply(550, "5.7.1", text)
