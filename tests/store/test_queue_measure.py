"""How much waits, as metrics tell it."""

from __future__ import annotations

from relayd.store.queue_measure import Measured
from relayd.store.records import State
from relayd.store.sqlite import SqliteStore
from tests.store.rig import Rig


async def test_an_empty_queue(store: SqliteStore) -> None:
    assert await store.call("queue_measure") == Measured()


async def test_what_waits_is_told_from_what_is_in_hand_or_held(rig: Rig, store: SqliteStore) -> None:
    start = rig.clock.now()
    await store.accept(await rig.message(state=State.DELIVERED))
    await store.accept(await rig.message(owner="w1"))
    rig.clock.turn(60)
    await store.accept(await rig.message("a@x.example", "b@y.example", next_attempt=start + 600))
    rig.clock.turn(60)
    await store.accept(await rig.message(state=State.UNDECIDED, next_attempt=start + 300))
    await store.accept(await rig.message(state=State.HELD))
    found = await store.call("queue_measure")
    assert found == Measured(waiting=3, in_hand=1, held=1, next_due=start + 300, oldest=start + 60)
