"""The store as the rest of relayd sees it. SQLite is the one built in; PostgreSQL fits behind the same calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from relayd.journal.event import Event
from relayd.store.records import Claimed, Delivery, Message, NewMessage, Settlement


class Store(Protocol):
    """All calls raise StoreUnavailable when the disk or database is sick; the caller answers 4yz or pauses.

    A call that returns has committed: a power cut after it loses nothing of it. Calls of all workers that are ready
    within a few milliseconds share one transaction and one fsync.
    """

    async def accept(self, message: NewMessage) -> None:
        """Make the message's body durable where ``Blobs.keep`` put it (a store on another machine needs
        ``Blobs.make_durable`` first), then commit the message. Only after this returns may 250 be said.

        Raises BodyNotStored when the body is what failed: its segment isn't to be used any more."""
        ...

    async def commit(
        self, messages: Sequence[NewMessage], operations: Sequence[tuple[str, dict[str, Any]]] = ()
    ) -> None:
        """Messages and named write operations as one: all of it happens, or nothing. The bodies are durable already
        (``Blobs.make_durable``). Whatever an operation raises is raised here, and nothing was done.

        Asking again after a lost answer does nothing, by the first message's id; so there is at least one."""
        ...

    async def claim(self, owner: str, now: float, limit: int, busy_until: float) -> list[Claimed]:
        """Own up to ``limit`` due, unowned deliveries; ``next_attempt`` becomes ``busy_until`` before anything is
        dialled, so that a crash can't hammer a receiver. Grouped by message."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Record outcomes, journal and follow-ups. False where the generation had moved on: nothing was written for
        that one and its follow-ups don't exist."""
        ...

    async def next_due(self, now: float) -> float | None:
        """When the next unowned delivery is due, None when the queue holds none."""
        ...

    async def heartbeat(self, owner: str, now: float, lease: float) -> bool:
        """This worker lives. False when its lease had run out and its deliveries were freed."""
        ...

    async def free(self, owner: str) -> int:
        """Free every delivery of a dead worker at once; returns how many."""
        ...

    async def message(self, message_id: str) -> Message: ...

    async def deliveries(self, message_id: str) -> list[Delivery]: ...

    async def journal(self, message_id: str) -> list[Event]: ...

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Run a registered operation (see ``relayd.store.operation``): queue commands, search, the Viewer's rows."""
        ...

    async def close(self) -> None: ...
