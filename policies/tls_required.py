"""Refuses ``TLS-Required: No`` from organisations whose mail must travel securely (RFC 8689 §3).

The field asks every relay to deliver rather than to insist on TLS. Confidential mail doesn't heed it anyway, so its
sender should hear that at once instead of believing that it did something. It counts where ordinary mail is allowed.
"""

from __future__ import annotations

from typing import Final

from policies.viewer import settings_of
from relayd.mail.reply import Reply
from relayd.mail.tls_required import says_tls_optional
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Pass, Refuse, Verdict

_REPLY: Final = Reply(550, "5.7.1", "Mail of your organisation always travels securely; take out TLS-Required: No")


class TlsRequiredPolicy(Policy[Options]):
    """Refuses the field from recognised senders without ``allow_plain``."""

    name = "tls_required"
    stages = frozenset({Stage.MESSAGE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
        assert mail.headers is not None
        if not says_tls_optional(mail.headers):
            return Pass("the sender doesn't ask for less security")
        if mail.envelope.require_tls:
            return Pass("REQUIRETLS outweighs TLS-Required: No")
        organisation = context.directory.organisations.get(mail.origin.organisation or "")
        if not mail.origin.recognised or organisation is None:
            return Pass("a stranger's TLS-Required: No changes nothing for mail to members")
        if settings_of(mail, organisation).allow_plain:
            return Pass(f"{organisation.id} allows ordinary mail, for which TLS-Required: No counts")
        return Refuse(
            f"{organisation.id}'s mail must travel securely, and the header says TLS-Required: No", reply=_REPLY
        )
