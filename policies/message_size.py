"""How much content one message may hold, counted after decoding: what people see as the size of their attachments."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from relayd.mail.body import Body
from relayd.mail.meta import Part
from relayd.mail.mime import decoder
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Pass, Refuse, Verdict
from relayd.settings.values import Size


class MessageSizeOptions(Options):
    """Options of ``message_size``."""

    limit: Size = Field(36 * 10**6, description="Octets of decoded content, all MIME parts together.")


#: Octets of content per octet on the wire, at most. Line ends only make base64 shorter than this.
_YIELD: Final = {"base64": 0.75}


class MessageSizePolicy(Policy[MessageSizeOptions]):
    """Refuses messages whose decoded parts add up to more than ``limit``.

    Nothing is decoded while the largest that the parts can be stays within the limit, which is true of nearly all
    mail. Only beyond it the parts are decoded, block by block, and counted exactly.
    """

    name = "message_size"
    stages = frozenset({Stage.MESSAGE})
    Options = MessageSizeOptions
    timeout = 60.0

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
        limit = self.options.limit
        leaves = [part for part in mail.parts if not part.is_container]
        if sum(part.length * _YIELD.get(part.encoding, 1.0) for part in leaves) <= limit:
            return Pass("within the size limit")
        assert mail.body is not None
        if await _exceeds(leaves, mail.body, limit):
            reply = Reply(552, "5.3.4", f"The content is larger than the {_readable(limit)} that one message may hold")
            return Refuse("the decoded content is over the size limit", reply=reply)
        return Pass("within the size limit")


async def _exceeds(leaves: list[Part], body: Body, limit: int) -> bool:
    total = 0
    for part in leaves:
        decode = decoder(part)
        async for block in body.blocks(part.offset, part.length):
            total += len(decode.feed(block))
            if total > limit:
                return True
        total += len(decode.finish())
    return total > limit


def _readable(octets: int) -> str:
    return f"{octets / 10**6:.0f} MB" if octets >= 10**6 else f"{octets} octets"
