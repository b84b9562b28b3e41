"""The lanes: they claim what is due, deliver it in jobs, and record what came of it.

One lane per next hop with a cap of its own, and one cap over all. Whatever waits here is owned by this worker under a
lease that a heartbeat renews; :meth:`Lanes._mine` is asked right before every final dot. Outcomes are recorded in
batches of whatever is ready. While the store is sick nothing new is started: a message that is delivered but can't be
recorded would be delivered twice.
"""

from __future__ import annotations

import asyncio
import random as system_random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from relayd import failpoints
from relayd.clock import Clock
from relayd.errors import StoreUnavailable
from relayd.mail.body import Body
from relayd.mail.meta import MessageMeta
from relayd.queue.aftermath import Aftermath, given_back
from relayd.queue.attempt import Attempt, Contents, Derive, Rejudge, no_transforms
from relayd.queue.outcome import Route
from relayd.queue.retry import JITTER
from relayd.queue.settling import Reporter, Settled, Settler
from relayd.queue.work import Lane, LaneKey, Work, grouped
from relayd.settings.models import QueueSettings
from relayd.store.interface import Store
from relayd.store.records import Claimed, Delivery

#: Deliveries claimed at once, and how many may be here in all for each that may run.
_CLAIM: Final = 200
_BACKLOG: Final = 10
#: How much may wait for one next hop, for each connection to it, before it gives way to others.
_LANE_BACKLOG: Final = 20
_GIVE_WAY: Final = 5.0
#: The store is asked this often at least; sooner when it said when something is due.
_POLL: Final = 1.0
#: Seconds by which a next attempt may lie beyond the longest wait: what gave way, and a clock that is nudged.
_CLOCK_TOLERANCE: Final = 60.0

log = structlog.get_logger("relayd.queue")


class Lanes:
    """One worker's outgoing deliveries."""

    def __init__(
        self,
        *,
        store: Store,
        contents: Contents,
        routes: Mapping[str, Route],
        settings: QueueSettings,
        clock: Clock,
        owner: str,
        reporter: Reporter,
        rejudge: Rejudge,
        derive: Derive = no_transforms,
        random: Callable[[], float] = system_random.random,
        pause: float = 1.0,
    ) -> None:
        self._store = store
        self._routes = dict(routes)
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._random = random
        self._pause = pause
        self._attempt = Attempt(contents, rejudge, clock, random, derive)
        self._settler = Settler(store, reporter, self._sick, pause)
        self._lanes: dict[LaneKey, Lane] = {}
        self._line: deque[tuple[LaneKey, Lane]] = deque()  # lanes with work and a place of their own left
        self._here: set[tuple[str, int]] = set()  # every delivery that waits, runs or is to be recorded
        self._running: dict[asyncio.Task[None], Work] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._retired: list[Route] = []
        self._lease = 0
        self._lease_until = 0.0
        self._woken = asyncio.Event()
        self._quiet = asyncio.Event()
        self._healthy = asyncio.Event()
        self._healthy.set()
        self._draining = False
        self._complaint = ""  # what the store said last, until it works again

    @property
    def has_room(self) -> bool:
        """Whether what is accepted now would start soon. If not, it is better accepted without an owner."""
        return not self._draining and self._healthy.is_set() and len(self._here) < self._most

    @property
    def _most(self) -> int:
        return self._settings.concurrency * _BACKLOG

    # what others call

    async def start(self) -> None:
        """Take a lease and begin."""
        await self._beat()
        loops = (self._poll(), self._keep_lease(), self._settler.run())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    def offer(self, claimed: Claimed, body: Body | None = None, meta: MessageMeta | None = None) -> None:
        """Deliver what was committed just now with this worker as its owner."""
        self._take(claimed, body, meta)
        self._pump()

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    def reload(self, settings: QueueSettings, routes: Mapping[str, Route]) -> None:
        """New settings and routes for what starts from now on; the old routes close when their last job is done."""
        self._settings = settings
        self._retired += [route for route in self._routes.values() if route not in routes.values()]
        self._routes = dict(routes)
        self._pump()
        self.wake()

    async def drain(self, patience: float = 30.0) -> None:
        """Finish what runs, give back what waits, and end. What isn't done within ``patience`` seconds is dropped."""
        self._draining = True
        self.wake()
        for lane in self._lanes.values():
            while lane.waiting:
                self._give_back(lane.waiting.popleft(), self._clock.now())
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=min(patience, 5.0))  # a claim under way is still to come in
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._settler.finish(patience)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for route in (*self._routes.values(), *self._retired):
            await route.close()
        try:
            await self._store.free(self._owner)
        except StoreUnavailable:
            log.warning("not_freed", owner=self._owner)

    async def idle(self) -> None:
        """Until nothing waits, runs or is still to be recorded."""
        while self._here:
            self._quiet.clear()
            await self._quiet.wait()

    # taking work in

    async def _poll(self) -> None:
        while not self._draining:
            await self._healthy.wait()
            wait = _POLL
            try:
                wait = await self._claim()
                if self._complaint:
                    self._complaint = ""
                    log.info("store_available")
            except StoreUnavailable as error:
                await self._sick(error)
            if wait > 0 and not self._woken.is_set():
                try:
                    async with asyncio.timeout(wait):
                        await self._woken.wait()
                except TimeoutError:
                    pass
            self._woken.clear()

    async def _claim(self) -> float:
        """Claim what there is room for; returns how long to wait before the next look."""
        room = min(self._most - len(self._here), _CLAIM)
        if room <= 0:
            return _POLL
        now = self._clock.now()
        due = await self._store.next_due(now)
        if due is None or due > now:
            return _POLL if due is None else min(_POLL, due - now)
        busy_until = now + self._settings.schedule[0].total_seconds()
        claims = await self._store.claim(self._owner, now, room, busy_until)
        if not claims:
            return _POLL
        failpoints.reach("claimed")
        for claimed in claims:
            self._take(claimed)
        self._pump()
        return 0.0

    def _take(self, claimed: Claimed, body: Body | None = None, meta: MessageMeta | None = None) -> None:
        most = self._settings.connections_per_next_hop * _LANE_BACKLOG
        if len(self._here) >= self._most:
            body = meta = None  # it will wait: better read again than kept
        for work in grouped(claimed, self._lease, body, meta):
            key = work.key
            lane = self._lanes.get(key) or self._lanes.setdefault(key, Lane())
            self._here.update((d.message_id, d.number) for d in work.deliveries)
            if self._draining or (len(lane.waiting) >= most and len(self._here) * 2 >= self._most):
                # So many for one slow next hop would soon keep all others out.
                due = self._clock.now() + (0.0 if self._draining else _GIVE_WAY * (1 + self._random()))
                self._give_back(work, due)
                continue
            lane.waiting.append(work)
            self._list(key, lane)

    def _give_back(self, work: Work, due: float) -> None:
        self._record(work, [given_back(delivery, due) for delivery in work.deliveries])

    # running it

    def _list(self, key: LaneKey, lane: Lane) -> None:
        if not lane.listed and lane.waiting and lane.running < self._cap(key):
            lane.listed = True
            self._line.append((key, lane))

    def _cap(self, key: LaneKey) -> int:
        return self._settings.connections_per_next_hop if key[0] == "relay" else self._settings.concurrency

    def _pump(self) -> None:
        """Start what may start, the lanes in turn."""
        while self._line and len(self._running) < self._settings.concurrency and self._healthy.is_set():
            key, lane = self._line.popleft()
            lane.listed = False
            if not lane.waiting:
                continue
            work = lane.waiting.popleft()
            if work.lease != self._lease:
                self._forget(work.deliveries)  # freed while it waited; somebody else has it
            else:
                lane.running += 1
                task = asyncio.create_task(self._run(key, lane, work))
                self._running[task] = work
            self._list(key, lane)

    async def _run(self, key: LaneKey, lane: Lane, work: Work) -> None:
        try:
            lease = work.lease
            route = self._routes.get(work.deliveries[0].route)
            after = await self._attempt.run(work, route, self._settings, lambda: self._mine(lease))
            self._record(work, after)
        except asyncio.CancelledError:
            self._forget(work.deliveries)  # drain() frees it in the store
            raise
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._running.pop(task, None)
            lane.running -= 1
            if lane.waiting:
                self._list(key, lane)
            elif not lane.running:
                self._lanes.pop(key, None)
            self._pump()

    def _record(self, work: Work, after: Iterable[Aftermath]) -> None:
        self._settler.put(Settled(work.message, work.body, tuple(after), self._recorded))

    def _recorded(self, settled: Settled) -> None:
        self._forget_all((a.settlement.message_id, a.settlement.number) for a in settled.after)
        if any(a.settlement.follow_ups or a.reported or a.settlement.route for a in settled.after):
            self.wake()  # there may be something due that nobody has claimed

    def _forget(self, deliveries: Iterable[Delivery]) -> None:
        self._forget_all((d.message_id, d.number) for d in deliveries)

    def _forget_all(self, keys: Iterable[tuple[str, int]]) -> None:
        full = len(self._here) >= self._most
        self._here.difference_update(keys)
        if full:
            self.wake()
        if not self._here:
            self._quiet.set()

    # being alive

    def _mine(self, lease: int) -> bool:
        return lease == self._lease and self._clock.boot() < self._lease_until

    async def _beat(self) -> None:
        """Renew the lease, reckoned from before the call: never longer than the store reckons it."""
        length = self._settings.lease.total_seconds()
        start = self._clock.boot()
        if not await self._store.heartbeat(self._owner, self._clock.now(), length):
            self._lease += 1
            log.warning("lease_lost", owner=self._owner, waiting=len(self._here))
        self._lease_until = start + length

    async def _keep_lease(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 4)
            try:
                await self._beat()
                beats += 1
                if beats % 4 == 0:
                    await self._free_strays()
                    await self._bring_forward()
            except StoreUnavailable as error:
                await self._sick(error)
            await self._close_retired()

    async def _free_strays(self) -> None:
        """A commit whose answer was lost leaves rows that are ours without our knowing."""
        lease = self._settings.lease.total_seconds()
        before = self._clock.now() - max(4 * lease, self._settings.schedule[0].total_seconds())
        known = sorted(self._here)
        freed = await self._store.call("free_strays", owner=self._owner, before=before, known=known)
        if freed:
            log.warning("strays_freed", deliveries=freed)
            self.wake()

    async def _bring_forward(self) -> None:
        """After the wall clock was set back, what was put off by it would wait for as long as it was ahead."""
        longest = max(self._settings.schedule).total_seconds() * (1 + JITTER)
        late = await self._store.call("bring_forward", latest=self._clock.now() + longest + _CLOCK_TOLERANCE)
        if late:
            log.warning("clock_was_ahead", deliveries=late)
            self.wake()

    async def _close_retired(self) -> None:
        """What still uses an old route may finish; nothing of it is kept after that."""
        retired, self._retired = self._retired, []
        for route in retired:
            await route.close()

    async def _sick(self, error: StoreUnavailable) -> None:
        """Start nothing until the store takes a heartbeat again. A trouble that stays is told once."""
        if not self._healthy.is_set():
            await self._healthy.wait()
            return
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("store_unavailable", reason=str(error), running=len(self._running), here=len(self._here))
        self._healthy.clear()
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._beat()
            except StoreUnavailable:
                continue
            break
        self._healthy.set()
        self._pump()
        self.wake()
