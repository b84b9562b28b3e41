"""Lanes over a real store, vault and blobs, with a clock and routes that the test steers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from relayd.errors import StoreUnavailable
from relayd.mail.body import Body
from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.queue.aftermath import Reported
from relayd.queue.attempt import Derive, SealedContents, no_transforms
from relayd.queue.composer import Composer
from relayd.queue.outcome import Job, Outcome, Result
from relayd.queue.scheduler import Lanes
from relayd.settings.models import QueueSettings, StoreSettings
from relayd.store.blobs import Blobs
from relayd.store.records import Claimed, Delivery, Message, NewDelivery, NewMessage, Settlement, State
from relayd.store.sqlite import FILE, SqliteStore
from relayd.vault.epochs import EpochKeys, epoch_of
from relayd.vault.keyring import generate
from relayd.vault.meta import seal_meta
from relayd.vault.vault import Vault
from tests.kit.jobs import CONTENT

START = 1_800_000_000.0


class SteeredClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START
        self.booted = 1000.0

    def now(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.booted

    def forward(self, seconds: float) -> None:
        self.at += seconds


class FakeRoute:
    """Answers with ``result`` (or what ``by_recipient`` says), and keeps what it was given."""

    def __init__(self, result: Result = Result.DELIVERED, status: str = "2.0.0", reply: str = "250 ok") -> None:
        self.answer = (result, status, reply)
        self.by_recipient: dict[str, tuple[Result, str, str]] = {}
        self.jobs: list[Job] = []
        self.contents: list[bytes] = []
        self.running = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.closed = False
        self.error: Exception | None = None
        self.operations: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {}

    async def deliver(self, job: Job) -> list[Outcome]:
        self.jobs.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        self.entered.set()
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.contents.append(b"".join([block async for block in job.content.blocks()]))
            return [
                Outcome(
                    d.number,
                    *self.by_recipient.get(d.recipient, self.answer),
                    next_hop="mx:25",
                    operations=self.operations.get(d.recipient, ()),
                )
                for d in job.deliveries
            ]
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed = True


class FakeReporter:
    """Keeps what it was asked to report, and makes a message of it."""

    def __init__(self, composer: Composer) -> None:
        self.reports: list[tuple[str, list[tuple[str, str, str]]]] = []
        self._composer = composer

    async def report(self, message: Message, body: Body | None, reported: Sequence[Reported]) -> NewMessage | None:
        said = [(one.delivery.recipient, one.action.value, one.status) for one in reported]
        self.reports.append((message.id, said))
        return await self._composer.compose(
            organisation=message.organisation, recipient=message.sender, content=b"A: b\r\n\r\n", parent=message.id
        )


class FlakyStore:
    """A store that is sick while ``sick`` is set."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.sick = False
        self.settled = asyncio.Event()
        self.settle_calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            if name == "settle":
                self.settle_calls += 1
                self.settled.set()
            if self.sick:
                raise StoreUnavailable("sick")
            return await found(*arguments, **named)

        return call


class Site:
    """All of it together."""

    def __init__(self, folder: Path, store: SqliteStore, clock: SteeredClock, directory: Any) -> None:
        keyring = generate(folder / "keys")
        self.clock = clock
        self.store = FlakyStore(store)
        self.vault = Vault(keyring, EpochKeys(folder / "keys" / "epochs", keyring))
        self.blobs = Blobs(folder / "blobs", "w1", settings=StoreSettings(minimum_free=0), clock=clock)
        self.route = FakeRoute()
        self.mailbox = FakeRoute()
        self.composer = Composer(self.vault, self.blobs, lambda: directory, clock, 90)
        self.reporter: Any = FakeReporter(self.composer)
        self.rejudged: Callable[[Claimed], list[Settlement]] = lambda claimed: []
        self.settings = QueueSettings(lifetime=timedelta(hours=2), delay_notice=timedelta(hours=1))
        self._count = 0
        self._database = folder / FILE

    def lanes(self, owner: str = "w1", derive: Derive = no_transforms, **settings: Any) -> Lanes:
        async def rejudge(claimed: Claimed, body: Body, meta: MessageMeta) -> list[Settlement]:
            return self.rejudged(claimed)

        return Lanes(
            store=self.store,  # type: ignore[arg-type]
            contents=SealedContents(self.vault, self.blobs),
            routes={"relay": self.route, "mailbox": self.mailbox},
            settings=self.settings.model_copy(update=settings),
            clock=self.clock,
            owner=owner,
            reporter=self.reporter,
            rejudge=rejudge,
            derive=derive,
            random=lambda: 0.5,
            pause=0.01,
        )

    async def accept(
        self,
        *recipients: str,
        content: bytes = CONTENT,
        owner: str | None = None,
        put: bytes = b"",
        meta: Callable[[int], MessageMeta] | None = None,
        **facts: Any,
    ) -> Claimed:
        """Commit a message as intake does; the same rows as a claim by its owner would give."""
        self._count += 1
        identity, now = f"m{self._count:04}", self.clock.now()
        key = self.vault.new("hospital", epoch_of(now), identity)
        receiving = self.blobs.receive(key)
        receiving.write(content)
        stored = receiving.finish()

        def with_patch(head_length: int) -> MessageMeta:
            return MessageMeta(head_length, copies=(HeaderPatch(put=put),))

        delivery = {name: facts.pop(name) for name in ("state", "route", "target", "notify", "orcpt") if name in facts}
        message = NewMessage(
            id=identity,
            organisation="hospital",
            epoch=epoch_of(now),
            received_at=now,
            expires_at=now + 1e7,
            sender=facts.pop("sender", "a@hospital.example"),
            size=stored.size,
            origin="relay",
            wrapped_key=key.wrapped,
            body=await self.blobs.make_durable(stored),
            meta=seal_meta(key, (meta or with_patch)(len(stored.head))),
            deliveries=tuple(
                self._delivery(number, recipient, owner, now, delivery) for number, recipient in enumerate(recipients)
            ),
            **facts,
        )
        await self.store.accept(message)
        fields = {name: getattr(message, name) for name in Message.__struct_fields__}
        return Claimed(Message(**fields), tuple(await self.store.deliveries(identity)))

    @staticmethod
    def _delivery(number: int, recipient: str, owner: str | None, now: float, facts: dict[str, Any]) -> NewDelivery:
        domain = recipient.rpartition("@")[2]
        defaults = {"route": "relay", "target": domain}
        return NewDelivery(
            number=number, recipient=recipient, domain=domain, next_attempt=now, owner=owner, **(defaults | facts)
        )

    def busy(self) -> bool:
        """Whether a delivery is owned by anyone or due."""
        query = "SELECT count(*) FROM delivery WHERE owner NOT NULL OR (state IN (?, ?) AND next_attempt <= ?)"
        with closing(sqlite3.connect(self._database)) as db:
            return bool(db.execute(query, (State.QUEUED, State.UNDECIDED, self.clock.now())).fetchone()[0])

    async def states(self, claimed: Claimed) -> list[State]:
        return [d.state for d in await self.store.deliveries(claimed.message.id)]

    async def delivery(self, claimed: Claimed) -> Delivery:
        return (await self.store.deliveries(claimed.message.id))[0]

    async def kinds(self, claimed: Claimed) -> list[str]:
        return [event.kind for event in await self.store.journal(claimed.message.id)]


@asynccontextmanager
async def open_site(folder: Path, directory: Any) -> AsyncIterator[Site]:
    clock = SteeredClock()
    store = await SqliteStore.open(folder, clock, StoreSettings(minimum_free=0))
    site = Site(folder, store, clock, directory)
    try:
        yield site
    finally:
        await site.blobs.close()
        await store.close()
