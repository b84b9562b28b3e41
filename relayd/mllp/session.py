"""One MLLP connection: messages in, an acknowledgement for each, in their order.

A message isn't held in memory: what its first segment doesn't need goes on to where it is sealed. The positive answer
follows the commit, as 250 does.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

import structlog
from msgspec.structs import replace

from relayd.edi import hl7
from relayd.edi.acknowledge import Answer, ErrorCode, Fault, acknowledge, faults, wishes
from relayd.mail.envelope import Peer
from relayd.mail.reply import Reply
from relayd.mllp.door import Door, Exchange, Named
from relayd.mllp.frames import Frames, Mark, framed
from relayd.smtp import handshake
from relayd.smtp.failure import reply_to
from relayd.smtp.service import Service
from relayd.smtp.wire import Hangup, Wire

#: Seconds without a message after which a connection ends. Systems keep theirs for days and expect the same.
_IDLE: Final = 3600.0
#: The longest first segment.
_HEADER_LIMIT: Final = 16 * 1024
#: A sender of this many times the permitted size isn't read to its end any more.
_PATIENCE: Final = 4
#: A peer that doesn't take what was sent to it is cut off this long after the end, in seconds.
_LINGER: Final = 10.0

NOT_HL7: Final = Reply(554, "5.6.0", "The message lacks MSH, its type or its control id, or is of another version")
TOO_LARGE: Final = Reply(552, "5.3.4", "The message is too large")

log = structlog.get_logger("relayd.mllp")


class MllpSession(asyncio.Protocol):
    """A connection that the listener has admitted. ``task`` runs until it is over."""

    def __init__(
        self,
        service: Service,
        door: Door,
        peer: Peer,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[MllpSession], None],
    ) -> None:
        self.peer = peer
        self.task: asyncio.Task[None] | None = None
        self._service = service
        self._door = door
        self._loop = loop
        self._ended = ended
        self._wire = Wire(loop, _IDLE)
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._incoming: _Incoming | None = None
        self._draining = False
        self._lost = False
        self._cut: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._wire.attach(transport)
        self.peer = replace(self.peer, tls=handshake.facts_of(transport))
        self.task = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self._wire.feed(data)

    def eof_received(self) -> bool:
        self._wire.end()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.end()
        self._wire.resume_writing()
        self._lost = True
        if self._cut is not None:
            self._cut.cancel()

    def pause_writing(self) -> None:
        self._wire.pause_writing()

    def resume_writing(self) -> None:
        self._wire.resume_writing()

    # The listener's side

    def drain(self) -> None:
        """End once no message is on its way."""
        self._draining = True
        if not self._frames.inside and self._incoming is None:
            self._wire.interrupt(Hangup())

    def abort(self) -> None:
        """Cut the connection. A commit in progress is finished all the same."""
        if self._transport is not None:
            self._transport.abort()
        self._wire.end()

    # The loop

    async def _run(self) -> None:
        try:
            while not self._draining or self._frames.inside:
                for piece in self._frames.feed(await self._wire.block()):
                    await self._take(piece)
        except Hangup:
            pass
        except Exception as error:
            reply_to(error, "mllp")
        finally:
            self._finish()

    async def _take(self, piece: bytes | Mark) -> None:
        if piece is Mark.START:
            self._forget()
            self._incoming = _Incoming(self._door, self.peer, self._service)
        elif self._incoming is None:
            return
        elif piece is Mark.END:
            incoming, self._incoming = self._incoming, None
            if answer := await incoming.answer():
                self._wire.write(framed(answer))
            if incoming.is_strangers:
                raise Hangup
        else:
            assert isinstance(piece, bytes)
            await self._incoming.write(piece)

    def _forget(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()

    def _finish(self) -> None:
        try:
            self._forget()
            self._wire.flush()
            self._wire.close()
            if self._transport is not None and not self._lost:
                self._transport.close()
                self._cut = self._loop.call_later(_LINGER, self._transport.abort)
            self._door.disconnect(self.peer)
        except Exception as error:
            reply_to(error, "mllp")
        finally:
            self._ended(self)


class _Incoming:
    """One message: its header first, then the exchange that it begins. The first thing wrong is the answer; the rest
    is then only counted."""

    def __init__(self, door: Door, peer: Peer, service: Service) -> None:
        self._door = door
        self._peer = peer
        self._limit = service.limits.message_size
        self._size = 0
        self._head = b""
        self._header: hl7.Message | None = None
        self._exchange: Exchange | None = None
        self._refusal: Reply | None = None

    async def write(self, block: bytes) -> None:
        self._size += len(block)
        if self._size > _PATIENCE * self._limit:
            raise Hangup
        if self._size > self._limit and self._refusal is None:
            self._refuse(TOO_LARGE)
        if self._refusal is not None:
            return
        if self._exchange is not None:
            self._pass_on(block)
            return
        self._head += block
        if len(self._head) > _HEADER_LIMIT or _has_line(self._head):
            await self._begin()

    async def answer(self) -> bytes:
        """The end has come: the acknowledgement, b"" where the sender wants none."""
        if self._exchange is None and self._refusal is None:
            await self._begin()
        reply = self._refusal
        if reply is None:
            assert self._exchange is not None
            try:
                reply = await self._exchange.commit()
            except Exception as error:
                reply = reply_to(error, "mllp")
        log.info("mllp_answered", peer=str(self._peer.address), reply=reply.code, status=reply.enhanced)
        return answer_to(self._header, reply, self._door.now())

    @property
    def is_strangers(self) -> bool:
        """Whether nobody whom we know has sent it."""
        return self._refusal is not None and self._refusal.code == 530

    def discard(self) -> None:
        if self._exchange is not None:
            self._exchange.discard()

    async def _begin(self) -> None:
        head, self._head = self._head, b""
        messages = hl7.split(head[:_HEADER_LIMIT]).messages
        self._header = message = messages[0] if messages else None
        if message is None or message.header is None or faults(message):
            self._refuse(NOT_HL7)
            return
        try:
            self._exchange = await self._door.begin(self._peer, named(message.header))
        except Exception as error:
            self._refuse(reply_to(error, "mllp"))
            return
        self._pass_on(head)

    def _pass_on(self, block: bytes) -> None:
        assert self._exchange is not None
        try:
            self._exchange.write(block)
        except Exception as error:
            self._refuse(reply_to(error, "mllp"))

    def _refuse(self, reply: Reply) -> None:
        self._refusal = reply
        self.discard()


def _has_line(head: bytes) -> bool:
    start = len(head) - len(head.lstrip())
    return head.find(b"\r", start) >= 0 or head.find(b"\n", start) >= 0


def named(header: hl7.Segment) -> Named:
    """What this MSH says."""
    names = (hl7.character_set(one) for one in header.repetitions(18))
    return Named(
        application=header.raw(3),
        facility=header.raw(4),
        control_id=header.raw(10),
        type=header.unescape(header.raw(9)),
        charset=next((name for name in names if name), ""),
    )


def answer_to(message: hl7.Message | None, reply: Reply, now: datetime) -> bytes:
    """What the sender is told, in the mode that he chose; b"" where he wants no answer.

    A relay's word is about receipt. So in the enhanced mode it is CA, CE or CR, and the application's own answer comes
    from the receiver's system, if at all.
    """
    wished = wishes(message) if message is not None else None
    enhanced = wished is not None and wished.is_enhanced
    if wished is not None and enhanced and not wished.wants_receipt(reply.positive):
        return b""
    positive, final, later = (
        (Answer.RECEIVED, Answer.RECEIPT_ERROR, Answer.RECEIPT_REFUSED)
        if enhanced
        else (Answer.ACCEPTED, Answer.ERROR, Answer.REFUSED)
    )
    problems: tuple[Fault, ...] = ()
    if not reply.positive:
        problems = faults(message) or (_fault(reply),)
    answer = positive if reply.positive else final if reply.permanent else later
    return acknowledge(message, answer, now, secrets.token_hex(10), problems)


def _fault(reply: Reply) -> Fault:
    if reply.enhanced.startswith("5.1."):
        return Fault(ErrorCode.UNKNOWN_KEY, "MSH", 1, 6, reply.text)
    return Fault(ErrorCode.INTERNAL, text=reply.text)
