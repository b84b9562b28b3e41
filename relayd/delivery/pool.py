"""Open connections to next hops, kept for the next message: a TLS handshake costs more than a message does.

Caps per next hop and in total; what is unused for a while says QUIT. A connection is used again without RSET, since a
finished transaction leaves nothing to reset (RFC 5321 §4.1.4).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import structlog

from relayd.clock import Clock
from relayd.delivery.client import Client, Hop, HopUnavailable, Timeouts
from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.tls.contexts import ClientTls
from relayd.tls.results import NoTlsResults, TlsResults

#: How many addresses of one host are tried.
_ADDRESSES: Final = 4

log = structlog.get_logger("relayd.delivery")


@dataclass(slots=True)
class _Lane:
    """One next hop's connections. ``open`` counts idle ones, those in use and those being made."""

    idle: deque[tuple[float, Client]] = field(default_factory=deque)
    open: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Pool:
    """Lends connections. Every borrowed one comes back by :meth:`give_back`, whatever happened to it."""

    def __init__(
        self,
        hostname: str,
        contexts: ClientTls,
        resolver: Resolver,
        *,
        per_hop: int,
        total: int,
        idle: float,
        timeouts: Timeouts | None = None,
        results: TlsResults | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._hostname = hostname
        self._contexts = contexts
        self._resolver = resolver
        self._per_hop = per_hop
        self._total = total
        self._idle = idle
        self._timeouts = timeouts or Timeouts()
        self._results = results or NoTlsResults()
        self._clock = clock
        self._lanes: dict[Hop, _Lane] = {}
        self._open = 0
        self._reaper: asyncio.TimerHandle | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._closed = False

    async def borrow(self, hop: Hop, *, fresh: bool = False) -> Client:
        """A proven connection to ``hop``; one that was used before unless ``fresh``. Raises HopUnavailable."""
        while True:
            lane = self._lanes.setdefault(hop, _Lane())
            if not fresh and (client := self._pick(lane)) is not None:
                self._note(hop, client)
                return client
            if lane.open < self._per_hop and (self._open < self._total or self._evict()):
                break
            if fresh and self._drop_one(lane):
                continue
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lane.waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._wake()
                raise
            finally:
                if place in lane.waiting:
                    lane.waiting.remove(place)
        lane.open += 1
        self._open += 1
        try:
            return await self._connect(hop)
        except BaseException:
            self._gone(lane)
            self._tidy(hop, lane)
            raise

    def give_back(self, client: Client) -> None:
        """The borrower is done with it."""
        hop = client.hop
        lane = self._lanes[hop]
        if self._closed or not client.reusable:
            client.close()
            self._gone(lane)
        else:
            loop = asyncio.get_running_loop()
            lane.idle.append((loop.time() + self._idle, client))
            if self._reaper is None:
                self._reaper = loop.call_later(self._idle, self._reap)
            self._wake(lane)
        self._tidy(hop, lane)

    async def close(self) -> None:
        """Say goodbye on idle connections; borrowed ones close when they come back."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        for lane in list(self._lanes.values()):
            while lane.idle:
                self._retire(lane, lane.idle.popleft()[1])
        await asyncio.gather(*self._farewells, return_exceptions=True)

    async def _connect(self, hop: Hop) -> Client:
        """The first of the hop's addresses that answers and proves itself."""
        failure = HopUnavailable("4.4.4", f"{hop.host}: no address is known for it")
        for address in await self._addresses(hop):
            client = Client(hop, self._hostname, self._timeouts, self._clock)
            try:
                await client.open(address, self._contexts)
            except HopUnavailable as error:
                log.info("next_hop_unavailable", next_hop=str(hop), status=error.status, reason=error.reply)
                if hop.applied is not None and error.failure is not None:
                    self._results.note(hop.applied.result(hop.host, address, error.failure, error.reply))
                failure = error
            else:
                self._note(hop, client)
                return client
        raise failure

    def _note(self, hop: Hop, client: Client) -> None:
        """Count a session for each domain whose mail it carries, once."""
        if hop.applied is not None and hop.applied.domain not in client.counted_for:
            client.counted_for.add(hop.applied.domain)
            self._results.note(hop.applied.result(hop.host, client.address, None))

    async def _addresses(self, hop: Hop) -> tuple[str, ...]:
        if hop.socket_path:
            return ("",)
        found = await self._resolver.addresses(hop.host)
        if found.answer is not Answer.FOUND:
            raise HopUnavailable("4.4.3", f"{hop.host}: looking up its address ended in {found.answer}")
        return found.addresses[:_ADDRESSES]

    def _pick(self, lane: _Lane) -> Client | None:
        while lane.idle:
            client = lane.idle.pop()[1]
            if client.reusable:
                return client
            client.close()
            self._gone(lane)
        return None

    def _drop_one(self, lane: _Lane) -> bool:
        if not lane.idle:
            return False
        self._retire(lane, lane.idle.popleft()[1])
        return True

    def _evict(self) -> bool:
        """Make room in total by ending another next hop's oldest idle connection."""
        idle = [lane for lane in self._lanes.values() if lane.idle]
        if not idle:
            return False
        return self._drop_one(min(idle, key=lambda lane: lane.idle[0][0]))

    def _retire(self, lane: _Lane, client: Client) -> None:
        task = asyncio.get_running_loop().create_task(client.goodbye())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)
        self._gone(lane)

    def _gone(self, lane: _Lane) -> None:
        lane.open -= 1
        self._open -= 1
        self._wake(lane)

    def _tidy(self, hop: Hop, lane: _Lane) -> None:
        """Forget a next hop that nobody uses or waits for: there may be very many in time."""
        if not lane.open and not lane.waiting and self._lanes.get(hop) is lane:
            del self._lanes[hop]

    def _wake(self, first: _Lane | None = None) -> None:
        """One borrower may look again: of this next hop, else of any other that the total held up."""
        lanes: list[_Lane] = [first] if first is not None and first.waiting else list(self._lanes.values())
        for lane in lanes:
            while lane.waiting:
                place = lane.waiting.popleft()
                if not place.done():
                    place.set_result(None)
                    return

    def _reap(self) -> None:
        now = asyncio.get_running_loop().time()
        self._reaper = None
        due = None
        for hop, lane in list(self._lanes.items()):
            while lane.idle and (lane.idle[0][0] <= now or not lane.idle[0][1].reusable):
                self._retire(lane, lane.idle.popleft()[1])
            if lane.idle:
                due = min(due or lane.idle[0][0], lane.idle[0][0])
            self._tidy(hop, lane)
        if due is not None and not self._closed:
            self._reaper = asyncio.get_running_loop().call_later(max(due - now, 0.05), self._reap)
