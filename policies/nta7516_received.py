"""Checks what others send by NTA 7516, and believes the header that says so only when all of it holds.

Members' mail never carries the header in: it is put on what leaves, by the policy nta7516. Only for strangers' mail
is DNS asked.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from relayd.mail.reply import Reply
from relayd.pipeline.nta_received import Received, author_domain, check_received, claims
from relayd.pipeline.nta_standing import standing_of
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Defer, Hold, Pass, Refuse, Rewrite, Verdict

_LATER = Reply(451, "4.4.3", "Whether this message came by NTA 7516, as it says, can't be looked up now; try again")
_REFUSED = Reply(550, "5.7.1", "This message says that it came by NTA 7516, and doesn't meet what that asks of it")


class Failing(StrEnum):
    """What becomes of a message that says it came by NTA 7516 and did not."""

    STRIP = "strip"
    HOLD = "hold"
    REFUSE = "refuse"


class Nta7516ReceivedOptions(Options):
    """What can be set in policies.yaml."""

    failing: Failing = Field(
        Failing.STRIP,
        description="What a stranger's message gets that carries the header and fails a check. strip: the header goes, "
        "and the message is delivered like any other. hold: an operator looks first. refuse: 550.",
    )


class Nta7516ReceivedPolicy(Policy[Nta7516ReceivedOptions]):
    """Strips the header from whatever doesn't deserve it, and writes the verdict of all checks into the journal."""

    name = "nta7516_received"
    stages = frozenset({Stage.MESSAGE})
    Options = Nta7516ReceivedOptions
    timeout = 15.0  # DNS may take 5 s for the record, and 5 s for who wrote the message

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        provider, headers = context.directory.nta_provider, mail.headers
        name, _ = provider.header
        claimed = headers is not None and claims(headers, provider)
        if mail.origin.recognised or headers is None:
            return _strip(name) if claimed else []
        if name and not claimed:
            return Pass("doesn't say that it came by NTA 7516")
        author = author_domain(headers)
        found = await standing_of(author, context) if author else None
        if not claimed and (found is None or found.compliant is False):
            return Pass(found.reason if found else "has no one author's domain, so NTA 7516 isn't asked about")
        authentication = await context.authenticator.authenticate(mail)
        received = check_received(mail.peer, headers, provider, found, authentication)
        return _judged(received, name if claimed else "", self.options.failing)


def _judged(received: Received, claimed: str, failing: Failing) -> Verdict | list[Verdict]:
    """What follows from the checks; ``claimed`` names the header that the message carries, "" when it doesn't."""
    reason = str(received)
    if not claimed or received.compliant:
        return Pass(reason)
    if received.compliant is None:
        return Defer(reason, reply=_LATER)
    if failing is Failing.REFUSE:
        return Refuse(reason, reply=_REFUSED)
    return [_strip(claimed), Hold(reason) if failing is Failing.HOLD else Pass(reason)]


def _strip(name: str) -> Rewrite:
    return Rewrite(f"{name} is put here alone, on what leaves by NTA 7516", drop=(name.lower(),))
