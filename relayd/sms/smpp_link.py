"""One SMPP bind: asks and answers on one connection, from its bind until it is lost."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog
from smpplib.smpp import make_pdu

from relayd.errors import RelaydError, SyntaxInvalid
from relayd.settings.sms import SmppSettings
from relayd.sms.message import Receipt
from relayd.sms.receipt import of_smpp
from relayd.sms.smpp_wire import ANSWER, DELIVER_SM, ENQUIRE_LINK, HEADER, UNBIND, Pdu, header_of, read_deliver_sm

_log = structlog.get_logger("relayd.sms")

#: Seconds for a connection, a bind and each answer.
PATIENCE: Final = 10.0
#: Seconds of silence before we ask whether the other side lives (§2.7.1, enquire_link).
IDLE: Final = 30.0
#: command_status, §5.1.3: the sender should try again; the command isn't known here.
_SYSTEM_ERROR: Final = 0x08
_UNKNOWN_COMMAND: Final = 0x03

Heard = Callable[[Receipt], Awaitable[None]]


class LinkLost(ConnectionError):
    """The connection ended, or what came wasn't SMPP."""


class BindRefused(ConnectionError):
    """The gateway doesn't let us in. ``status`` is its command_status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"bind refused with status {status:#x}")


class Numbers:
    """Sequence numbers as smpplib asks for them: 1 to 0x7FFFFFFF, then from the beginning (§3.2)."""

    def __init__(self) -> None:
        self._next = itertools.cycle(range(1, 0x7FFFFFFF))
        self.sequence = 0

    def next_sequence(self) -> int:
        self.sequence = next(self._next)
        return self.sequence


async def open_link(
    settings: SmppSettings, password: str, heard: Heard, *, command: str = "bind_transceiver", idle: float = IDLE
) -> Link:
    """Connect and bind. Raises OSError: LinkLost, BindRefused, TimeoutError and what connecting raises.

    ``heard`` is awaited with each receipt before it is acknowledged: what it raises makes the gateway send it again.
    """
    host, _, port = settings.address.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), ssl=None if settings.plaintext else _tls(settings.ca)
        )
    link = Link(reader, writer, heard, idle)
    try:
        answer = await link.ask(command, system_id=settings.system_id, password=password, system_type="")
    except OSError:
        await link.close()
        raise
    if answer.status:
        await link.close()
        raise BindRefused(answer.status)
    return link


def _tls(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Link:
    """``lost`` is set when it has ended, whoever ended it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard, idle: float) -> None:
        self._reader = reader
        self._writer = writer
        self._heard = heard
        self._idle = idle
        self._numbers = Numbers()
        self._asked: dict[int, asyncio.Future[Pdu]] = {}
        self._receipts: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()
        self._life = asyncio.create_task(self._live())

    async def ask(self, command: str, **fields: Any) -> Pdu:
        """The answer, whatever its status. Raises LinkLost and TimeoutError: the question may have been heard."""
        if self.lost.is_set():
            raise LinkLost
        question = make_pdu(command, client=self._numbers, **fields)
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._asked[question.sequence] = answer
        try:
            async with asyncio.timeout(PATIENCE):
                self._writer.write(question.generate())
                await self._writer.drain()
                return await answer
        finally:
            del self._asked[question.sequence]

    async def close(self) -> None:
        """Part in good manners (§2.2.3), as far as the other side has any."""
        try:
            async with asyncio.timeout(1.0):
                await self.ask("unbind")
        except OSError:
            pass
        self._life.cancel()
        await asyncio.wait({self._life})

    async def _live(self) -> None:
        tasks = {asyncio.create_task(self._read()), asyncio.create_task(self._keep_up())}
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            _log.warning("sms.link_lost", error=type(ended.pop().exception()).__name__)
        finally:
            self.lost.set()
            for task in (*tasks, *self._receipts):
                task.cancel()
            await asyncio.gather(*tasks, *self._receipts, return_exceptions=True)
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(LinkLost())
            self._writer.close()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._idle)
            await self.ask("enquire_link")

    async def _read(self) -> None:
        try:
            while True:
                length, pdu = header_of(await self._reader.readexactly(HEADER.size))
                body = await self._reader.readexactly(length)
                self._take(Pdu(pdu.command, pdu.status, pdu.sequence, body))
        except (asyncio.IncompleteReadError, SyntaxInvalid) as error:
            raise LinkLost from error

    def _take(self, pdu: Pdu) -> None:
        if pdu.command & ANSWER:
            answer = self._asked.get(pdu.sequence)
            if answer is not None and not answer.done():
                answer.set_result(pdu)
        elif pdu.command == DELIVER_SM:
            task = asyncio.create_task(self._deliver(pdu))
            self._receipts.add(task)
            task.add_done_callback(self._receipts.discard)
        elif pdu.command == ENQUIRE_LINK:
            self._answer("enquire_link_resp", pdu)
        elif pdu.command == UNBIND:
            self._answer("unbind_resp", pdu)
            raise LinkLost
        else:
            self._answer("generic_nack", pdu, _UNKNOWN_COMMAND)

    async def _deliver(self, pdu: Pdu) -> None:
        try:
            receipt = of_smpp(read_deliver_sm(pdu.body))
            if receipt is not None:
                await self._heard(receipt)
        except SyntaxInvalid:
            # Asked for again it would be the same.
            _log.warning("sms.receipt_unreadable")
        except RelaydError as error:
            _log.warning("sms.receipt_not_kept", error=type(error).__name__)
            self._answer("deliver_sm_resp", pdu, _SYSTEM_ERROR)
            return
        self._answer("deliver_sm_resp", pdu)

    def _answer(self, command: str, asked: Pdu, status: int = 0) -> None:
        answer = make_pdu(command, status=status)
        answer.sequence = asked.sequence
        self._writer.write(answer.generate())
