"""Several gateways: which one gets a message, and which is next when it can't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from relayd.clock import Clock
from relayd.sms.message import Ledger, Sent, Sms, SmsResult, SmsSender
from relayd.telemetry.metrics import SMS

_log = structlog.get_logger("relayd.sms")

#: Seconds that a gateway is asked last after it failed: not every reader waits for its silence anew. Longer than the
#: pause after which a reader may ask for his code again, who then gets it by another.
REST: Final = 300.0
_FAILED: Final = frozenset({SmsResult.UNREACHABLE, SmsResult.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class Gateway:
    """A way out under the name that the settings give it, and how many it may send a day (0: no limit)."""

    name: str
    sender: SmsSender
    daily: int = 0


class Gateways:
    """Asks the gateways of a number's prefix in their order. The next one is asked only when the one before surely
    didn't take the message: it couldn't be reached, or its day's share is used up. A refusal is final, since it is
    about the number; so is an answer that got lost, since a code sent twice by two gateways helps nobody.

    ``by_prefix`` maps beginnings of numbers ("+31") to names in order; the longest that fits counts, else ``failover``.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        failover: Sequence[str],
        by_prefix: Mapping[str, Sequence[str]],
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._gateways = {one.name: one for one in gateways}
        self._failover = tuple(failover)
        self._by_prefix = dict(by_prefix)
        self._ledger = ledger
        self._clock = clock
        self._rests_until: dict[str, float] = {}

    async def open(self) -> None:
        for gateway in self._gateways.values():
            await gateway.sender.open()

    async def send(self, sms: Sms) -> Sent:
        """Raises StoreUnavailable."""
        sent = Sent(SmsResult.UNREACHABLE)
        for name in self._order(sms.number):
            gateway = self._gateways[name]
            if not await self._ledger.take(sms, name, gateway.daily):
                _log.warning("sms.share_used_up", gateway=name)
                continue
            sent = replace(await gateway.sender.send(sms), gateway=name)
            SMS.add(sent.result)
            failed = sent.result in _FAILED
            self._rests_until[name] = self._clock.boot() + REST if failed else 0.0
            if sent.result is not SmsResult.UNREACHABLE:
                break
            _log.warning("sms.gateway_failed", gateway=name)
        return sent

    async def close(self) -> None:
        for gateway in self._gateways.values():
            await gateway.sender.close()

    def _order(self, number: str) -> list[str]:
        fitting = [prefix for prefix in self._by_prefix if number.startswith(prefix)]
        names = self._by_prefix[max(fitting, key=len)] if fitting else self._failover
        now = self._clock.boot()
        return sorted(names, key=lambda name: self._rests_until.get(name, 0.0) > now)
