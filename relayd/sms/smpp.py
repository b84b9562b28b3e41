"""SMS over SMPP 3.4: one transceiver bind, kept up as long as we run, since receipts come on it too."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from relayd.settings.sms import SmppSettings
from relayd.sms.message import Sent, Sms, SmsResult
from relayd.sms.smpp_link import IDLE, BindRefused, Heard, Link, open_link
from relayd.sms.smpp_wire import message_id_of
from relayd.sms.text import gsm7_octets

_log = structlog.get_logger("relayd.sms")

#: Seconds between tries to bind, when nobody wants to send.
PAUSE: Final = 10.0
#: command_status (§5.1.3) that speaks of the gateway at this moment, not of the message: not bound, system error, queue
#: full, submission failed, throttled.
_LATER: Final = frozenset({0x04, 0x08, 0x14, 0x45, 0x58})
#: Statuses of the gateway's own (credit, mostly): another gateway may take the message.
_VENDORS: Final = range(0x400, 0x500)
#: Types and plans of numbers, §5.2.5 and §5.2.6.
_INTERNATIONAL, _ALPHANUMERIC = 1, 5
_UNKNOWN, _ISDN = 0, 1
#: data_coding, §5.2.19: the default alphabet, and ISO 8859-1.
_CODINGS: Final = {"gsm7": 0, "latin1": 3}


class SmppSender:
    """``heard`` is awaited with each receipt, see :func:`open_link`."""

    def __init__(
        self, settings: SmppSettings, password: str, heard: Heard, *, idle: float = IDLE, pause: float = PAUSE
    ) -> None:
        self._settings = settings
        self._password = password
        self._heard = heard
        self._idle = idle
        self._pause = pause
        self._opening: asyncio.Task[Link] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._keeper = asyncio.create_task(self._keep_bound())

    async def send(self, sms: Sms) -> Sent:
        try:
            link = await self._link()
        except OSError as error:
            _log.warning("sms.unreachable", reference=sms.reference, error=type(error).__name__)
            return Sent(SmsResult.UNREACHABLE)
        try:
            answer = await link.ask("submit_sm", **self._submission(sms))
        except OSError as error:
            _log.warning("sms.uncertain", reference=sms.reference, error=type(error).__name__)
            return Sent(SmsResult.UNCERTAIN)
        if answer.status:
            _log.warning("sms.not_accepted", reference=sms.reference, status=answer.status)
            later = answer.status in _LATER or answer.status in _VENDORS
            return Sent(SmsResult.UNREACHABLE if later else SmsResult.REFUSED)
        _log.info("sms.accepted", reference=sms.reference)
        return Sent(SmsResult.ACCEPTED, id=message_id_of(answer.body))

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
            if not _is_over(self._opening):
                await self._opening.result().close()

    async def _link(self) -> Link:
        """The bind that there is, or a new one: however many want it, one is made. Raises OSError."""
        if self._opening is None or _is_over(self._opening):
            self._opening = asyncio.create_task(open_link(self._settings, self._password, self._heard, idle=self._idle))
        return await asyncio.shield(self._opening)

    async def _keep_bound(self) -> None:
        while True:
            try:
                link = await self._link()
                await link.lost.wait()
            except BindRefused as error:
                _log.error("sms.bind_refused", status=error.status)
            except OSError as error:
                _log.warning("sms.not_bound", error=type(error).__name__)
            await asyncio.sleep(self._pause)

    def _submission(self, sms: Sms) -> dict[str, Any]:
        source, alphabet = self._settings.source, self._settings.alphabet
        is_number = source.removeprefix("+").isdecimal()
        octets = gsm7_octets(sms.text) if alphabet == "gsm7" else sms.text.encode("latin-1", "replace")
        return {
            "source_addr_ton": _INTERNATIONAL if is_number else _ALPHANUMERIC,
            "source_addr_npi": _ISDN if is_number else _UNKNOWN,
            "source_addr": source.removeprefix("+"),
            "dest_addr_ton": _INTERNATIONAL,
            "dest_addr_npi": _ISDN,
            "destination_addr": sms.number.removeprefix("+"),
            "data_coding": _CODINGS[alphabet],
            "registered_delivery": 1,
            "short_message": octets,
        }


def _is_over(opening: asyncio.Task[Link]) -> bool:
    """It never came to a bind, or that bind is lost."""
    if not opening.done():
        return False
    return opening.cancelled() or opening.exception() is not None or opening.result().lost.is_set()
