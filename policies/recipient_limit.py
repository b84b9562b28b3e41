"""How many people one message may go to, however it is spread over To, Cc, Bcc, envelope and transactions."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from pydantic import Field

from relayd.mail.headers import Headers
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Pass, Refuse, Verdict
from relayd.settings.values import Duration


class RecipientLimitOptions(Options):
    """Options of ``recipient_limit``."""

    limit: int = Field(100, ge=1, description="Unique recipients: envelope, To, Cc and Bcc together.")
    window: Duration = Field(
        timedelta(minutes=10),
        description="Transactions of one sender with the same Message-ID within this time count together.",
    )


class RecipientLimitPolicy(Policy[RecipientLimitOptions]):
    """Refuses the whole message with 550 5.5.3 (RFC 3463 §3.6: too many recipients) after its end of data.

    A mail server may split one message over transactions (RFC 5321 §4.5.3.1.10), so those of one recognised sender
    with one Message-ID count together. Strangers' don't: anyone could use up somebody else's Message-ID.
    """

    name = "recipient_limit"
    stages = frozenset({Stage.MESSAGE})
    Options = RecipientLimitOptions

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
        assert mail.headers is not None
        keys = {recipient.address.key for recipient in mail.recipients} | _named(mail.headers)
        count = len(keys)
        message_id = mail.headers.text("message-id").strip()
        if count <= self.options.limit and mail.origin.recognised and message_id:
            members = sorted(_digest(key) for key in keys)
            count = await context.limits.count_unique(_counter(mail, message_id), members, self.options.window)
        if count > self.options.limit:
            reply = Reply(550, "5.5.3", f"Too many recipients: at most {self.options.limit} for one message")
            return Refuse(f"{count} unique recipients, {self.options.limit} allowed", reply=reply)
        return Pass(f"{count} unique recipients")


def _named(headers: Headers) -> set[str]:
    return {address.key for name in ("to", "cc", "bcc") for address in headers.addresses(name)}


def _counter(mail: Mail, message_id: str) -> str:
    """One counter per sender and message; digests, since counters are kept in the clear."""
    sender = str(mail.envelope.sender).casefold()
    owner = mail.origin.organisation or mail.origin.platform
    return "recipients:" + _digest("\n".join((owner, mail.origin.account, sender, message_id)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
