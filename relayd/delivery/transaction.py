"""One mail transaction over an open connection, SMTP or LMTP: who got the message, and what the peer said to each.

The client's half of RFC 5321 §3.3 with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531)
DSN (RFC 3461) and REQUIRETLS (RFC 8689), and RFC 2033's reply per recipient after the dot.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from relayd.delivery import require_tls
from relayd.delivery.client import Client
from relayd.delivery.stuffing import DotStuffer
from relayd.delivery.wire import announced, reply_text
from relayd.failpoints import reach
from relayd.queue.outcome import Content, Result
from relayd.store.records import Delivery, Message

_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")
#: What would end a command line, or cut it short, in some server.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: Octets that go in one write, the end of data included where all fits.
_AT_ONCE: Final = 64 * 1024


class ConnectionStale(Exception):
    """The connection ended, or 421 came, before the peer took anything of this transaction: another one may be tried
    at once. ``reply`` is what it said, if anything."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        super().__init__(reply)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one recipient. ``again`` means that the peer takes no more recipients in one transaction."""

    result: Result
    status: str
    reply: str
    again: bool = False


def answer_to(response: aiosmtplib.SMTPResponse, accepted: Result = Result.DELIVERED) -> Answer:
    """A reply as an answer: 2yz ``accepted``, 5yz FAILED, everything else DEFERRED."""
    code, text = response
    result, digit = Result.DEFERRED, "4"
    if 200 <= code < 300 and accepted is not Result.DEFERRED:
        result, digit = accepted, "2"
    elif code >= 500:
        result, digit = Result.FAILED, "5"
    return Answer(result, enhanced_code(text, digit), reply_text(response))


def enhanced_code(text: str, digit: str) -> str:
    """The enhanced code that a reply starts with, or class.0.0 where it has none of the right class (RFC 2034 §4)."""
    match = _ENHANCED.match(text)
    return match[1] if match and match[1][0] == digit else f"{digit}.0.0"


def _deferred(status: str, reply: str) -> Answer:
    return Answer(Result.DEFERRED, status, reply)


def _failed(status: str, reply: str) -> Answer:
    return Answer(Result.FAILED, status, reply)


class Transaction:
    """Sends one copy to ``deliveries`` over ``client``. :meth:`run` gives one answer for each, in their order."""

    def __init__(
        self,
        client: Client,
        message: Message,
        deliveries: Sequence[Delivery],
        content: Content,
        still_mine: Callable[[], bool],
    ) -> None:
        self._client = client
        self._wire = client.wire
        self._offers = client.esmtp_extensions
        self._message = message
        self._deliveries = deliveries
        self._content = content
        self._still_mine = still_mine
        self._lmtp = client.hop.lmtp
        self._timeouts = client.timeouts

    async def run(self) -> list[Answer]:
        """Raises ConnectionStale when nothing was taken, HopUnavailable when this message may not go to this peer, and
        whatever reading the content raises. The connection may be used again when ``client.reusable`` says so."""
        require_tls.demand(self._client, self._message)
        refusal = await self._unfit()
        if refusal is not None:
            return [refusal] * len(self._deliveries)
        try:
            answers = await self._talk()
        except BaseException:
            self._client.abort()
            raise
        self._client.used += 1
        return answers

    async def _unfit(self) -> Answer | None:
        """What the peer's extensions rule out without asking it."""
        limit = announced(self._offers.get("size", "").strip())
        if 0 < limit < self._content.size:
            return _failed("5.3.4", f"the next hop takes at most {limit} octets")
        if self._message.smtputf8 and "smtputf8" not in self._offers and await self._needs_utf8():
            return _failed("5.6.7", "the next hop doesn't take internationalised addresses or headers")
        if self._message.body_type == "8BITMIME" and "8bitmime" not in self._offers and not await self._is_ascii():
            return _failed("5.6.3", "the next hop takes no 8-bit content")
        return None

    async def _needs_utf8(self) -> bool:
        """Whether SMTPUTF8 was more than a precaution of the sender (RFC 6531 §3.6)."""
        if not self._message.sender.isascii() or not all(d.recipient.isascii() for d in self._deliveries):
            return True
        seen = b""
        async for block in self._content.blocks():
            head, end, _ = (seen[-3:] + block).partition(b"\r\n\r\n")
            if not head.isascii():
                return True
            if end:
                return False
            seen = block
        return False

    async def _is_ascii(self) -> bool:
        async for block in self._content.blocks():
            if not block.isascii():
                return False
        return True

    def _commands(self) -> list[bytes]:
        dsn = "dsn" in self._offers
        message = self._message
        mail = f"MAIL FROM:<{message.sender}>"
        if "size" in self._offers:
            mail += f" SIZE={self._content.size}"
        if message.body_type == "8BITMIME" and "8bitmime" in self._offers:
            mail += " BODY=8BITMIME"
        if message.smtputf8 and "smtputf8" in self._offers:
            mail += " SMTPUTF8"
        if message.require_tls and require_tls.offers(self._client):
            mail += " REQUIRETLS"
        # RFC 3461 §5.2.1: passed on exactly as they came, and never made up.
        if dsn and message.ret:
            mail += f" RET={message.ret}"
        if dsn and message.envid:
            mail += f" ENVID={message.envid}"
        commands = [mail]
        for delivery in self._deliveries:
            rcpt = f"RCPT TO:<{delivery.recipient}>"
            if dsn and delivery.notify:
                rcpt += f" NOTIFY={delivery.notify}"
            if dsn and delivery.orcpt:
                rcpt += f" ORCPT={delivery.orcpt}"
            commands.append(rcpt)
        if any(_CONTROL.search(command) for command in commands):
            raise ValueError("an address or parameter with a control character reached delivery")
        return [f"{command}\r\n".encode() for command in commands]

    async def _talk(self) -> list[Answer]:
        commands = self._commands()
        pipelined = "pipelining" in self._offers
        if pipelined:
            self._wire.send(b"".join((*commands, b"DATA\r\n")), len(commands) + 1)
        mail = await self._first(commands[0], pipelined)
        ok = 200 <= mail.code < 300
        answers = [_TAKEN if ok else answer_to(mail)] * len(self._deliveries)
        try:
            if ok or pipelined:
                replies = [await self._step(command, pipelined) for command in commands[1:]]
                if ok:
                    answers = [_recipient_answer(reply) for reply in replies]
            accepted = [i for i, answer in enumerate(answers) if ok and answer.result is Result.DELIVERED]
            if accepted or pipelined:
                start = await self._step(b"DATA\r\n", pipelined, self._timeouts.data)
            else:
                await self._reset()
                return answers
        except aiosmtplib.SMTPException as error:
            # Nothing of the content was sent, so nothing can have been delivered.
            self._client.abort()
            return [a if a.result is Result.FAILED else _deferred("4.4.2", error.message) for a in answers]
        if start.code == 354:
            if accepted:
                await self._send_content(accepted, answers)
            else:
                await self._send_nothing()
            return answers
        for index in accepted:
            answers[index] = answer_to(start, Result.DEFERRED)
        await self._reset()
        return answers

    async def _first(self, mail: bytes, pipelined: bool) -> aiosmtplib.SMTPResponse:
        try:
            response = await self._step(mail, pipelined)
        except aiosmtplib.SMTPException as error:
            self._client.abort()
            raise ConnectionStale(error.message) from error
        if response.code == 421:
            self._client.abort()
            raise ConnectionStale(reply_text(response))
        return response

    async def _step(self, command: bytes, sent: bool, patience: float | None = None) -> aiosmtplib.SMTPResponse:
        if not sent:
            self._wire.send(command, 1)
        return await self._wire.reply(patience or self._timeouts.command)

    async def _reset(self) -> None:
        """End a transaction that the peer may still consider open, so that the connection can be used again."""
        try:
            response = await self._step(b"RSET\r\n", False)
        except aiosmtplib.SMTPException:
            response = None
        if response is None or response.code != 250:
            self._client.abort()

    async def _send_nothing(self) -> None:
        """The peer wants data though it took no recipient: an empty message is right (RFC 2920 §3.1)."""
        try:
            await self._step(b".\r\n", False)
        except aiosmtplib.SMTPException:
            self._client.abort()

    async def _send_content(self, accepted: list[int], answers: list[Answer]) -> None:
        stuffer = DotStuffer()
        held = b""
        # A peer may refuse in the midst of the data, so its replies are due from here on.
        self._wire.expect(len(accepted) if self._lmtp else 1)
        try:
            async for block in self._content.blocks():
                if len(held) + len(block) > _AT_ONCE:
                    self._wire.send(held, 0)
                    held = b""
                    await self._wire.drain(self._timeouts.block)
                    if self._wire.early_reply():
                        break
                held += stuffer.feed(block)
            if self._wire.early_reply():
                refusal = answer_to(await self._wire.reply(self._timeouts.block), Result.DEFERRED)
                self._abandon(accepted, answers, refusal)
                return
        except aiosmtplib.SMTPException as error:
            self._abandon(accepted, answers, _deferred("4.4.2", error.message))
            return
        if not self._still_mine():
            self._abandon(accepted, answers, _deferred("4.3.0", "the claim on this delivery ran out"))
            return
        reach("before-final-dot")
        await self._finish(held + stuffer.end(), accepted, answers)

    def _abandon(self, accepted: list[int], answers: list[Answer], answer: Answer) -> None:
        """Leave without the final dot: the message doesn't exist for the peer, and nothing else can be said to it."""
        self._client.abort()
        for index in accepted:
            answers[index] = answer

    async def _finish(self, last: bytes, accepted: list[int], answers: list[Answer]) -> None:
        timeout = self._timeouts.after_dot(self._content.size)
        good = Result.DELIVERED if self._lmtp or "dsn" in self._offers else Result.RELAYED
        # RFC 2033 §4.2: one reply for each recipient; SMTP has one for all.
        groups = [[index] for index in accepted] if self._lmtp else [accepted]
        self._sent_dot(last)
        for number, group in enumerate(groups):
            try:
                answer = _final_answer(await self._wire.reply(timeout), good)
            except (aiosmtplib.SMTPException, asyncio.CancelledError) as error:
                # Cancelled is: we are stopping. The peer may have the message all the same, and that has to be known.
                reason = error.message if isinstance(error, aiosmtplib.SMTPException) else "relayd was stopped"
                lost = f"the reply to the end of data was lost: {reason}"
                left = [index for later in groups[number:] for index in later]
                self._abandon(left, answers, Answer(Result.AMBIGUOUS, "4.4.2", lost))
                return
            for index in group:
                answers[index] = answer

    def _sent_dot(self, last: bytes) -> None:
        try:
            self._wire.send(last, 0)
        except aiosmtplib.SMTPException:
            pass  # reading its reply tells the same
        reach("after-final-dot")


#: A recipient that the peer takes; what becomes of it is said after the data.
_TAKEN: Final = Answer(Result.DELIVERED, "2.0.0", "")


def _recipient_answer(response: aiosmtplib.SMTPResponse) -> Answer:
    if 200 <= response.code < 300:
        return _TAKEN
    answer = answer_to(response)
    # RFC 5321 §4.5.3.1.10: too many recipients is temporary, whichever of the two codes says it.
    if response.code in (452, 552) and answer.status[1:] in (".5.3", ".0.0"):
        return Answer(Result.DEFERRED, "4.5.3", answer.reply, again=True)
    return answer


def _final_answer(response: aiosmtplib.SMTPResponse, good: Result) -> Answer:
    if 300 <= response.code < 400:
        return Answer(Result.AMBIGUOUS, "4.5.0", reply_text(response))
    return answer_to(response, good)
