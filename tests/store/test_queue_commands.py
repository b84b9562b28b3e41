"""What an operator does to the queue, and finding messages."""

from __future__ import annotations

import pytest

from relayd.store.queue_commands import Changed, Chosen, Found, Search, Waiting
from relayd.store.records import Settlement, State
from relayd.store.sqlite import SqliteStore
from tests.store.rig import Rig


async def listed(store: SqliteStore, **chosen: object) -> list[tuple[str, int]]:
    found: list[Waiting] = await store.call("queue_list", chosen=Chosen(**chosen))  # type: ignore[arg-type]
    return [(one.delivery.message_id, one.delivery.number) for one in found]


async def test_the_list_has_everything_open_and_nothing_else(rig: Rig, store: SqliteStore) -> None:
    expected = set()
    for state in State:
        new = await rig.message(state=state, owner="w1" if state is State.QUEUED else None)
        await store.accept(new)
        if state in (State.QUEUED, State.UNDECIDED, State.HELD):
            expected.add((new.id, 0))
    assert set(await listed(store)) == expected


async def test_filters_all_have_to_match(rig: Rig, store: SqliteStore) -> None:
    old = await rig.message("Jan@Clinic.example", "piet@other.example")
    await store.accept(old)
    rig.clock.turn(3600)
    new = await rig.message("kees_100%@clinic.example", organisation="clinic", state=State.HELD)
    await store.accept(new)
    first, second, third = (old.id, 0), (old.id, 1), (new.id, 0)
    assert set(await listed(store)) == {first, second, third}
    assert await listed(store, recipient="jan@clinic.example") == [first]
    assert set(await listed(store, recipient="*@clinic.example")) == {first, third}
    assert await listed(store, recipient="kees_1*%@*") == [third]
    assert await listed(store, recipient="kees?100*") == []
    assert await listed(store, domain="other.example") == [second]
    assert await listed(store, organisation="clinic") == [third]
    assert await listed(store, state=State.HELD) == [third]
    assert set(await listed(store, before=rig.clock.now() - 1800)) == {first, second}
    assert await listed(store, ids=(old.id,), domain="other.example") == [second]
    assert await listed(store, sender="info@*", domain="nowhere.example") == []


async def test_retry_makes_due_at_once(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(next_attempt=rig.clock.now() + 3600)
    await store.accept(new)
    assert await store.call("queue_retry", chosen=Chosen(ids=(new.id,))) == Changed(changed=((new.id, 0),))
    assert await store.next_due(rig.clock.now()) == rig.clock.now()
    assert (await store.journal(new.id))[-1].kind == "retried"


async def test_hold_and_release(rig: Rig, store: SqliteStore) -> None:
    routed, undecided = await rig.message(), await rig.message(state=State.UNDECIDED, route="")
    for message in (routed, undecided):
        await store.accept(message)
    done = await store.call("queue_hold", chosen=Chosen(), reason="a loop")
    assert len(done.changed) == 2
    assert await store.next_due(rig.clock.now()) is None
    event = (await store.journal(routed.id))[-1]
    assert (event.kind, event.recipient, event.facts) == ("held", "a@clinic.example", {"reason": "a loop"})
    assert (await store.call("queue_hold", chosen=Chosen(), reason="again")).changed == ()
    await store.call("queue_release", chosen=Chosen())
    assert (await store.deliveries(routed.id))[0].state is State.QUEUED
    assert (await store.deliveries(undecided.id))[0].state is State.UNDECIDED
    assert rig.verify() == []


async def test_cancel_is_for_good_and_says_why(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message("a@clinic.example", "b@clinic.example")
    await store.accept(new)
    await store.call("queue_cancel", chosen=Chosen(recipient="b@*"), reason="asked by the sender")
    assert [one.state for one in await store.deliveries(new.id)] == [State.QUEUED, State.CANCELLED]
    assert (await store.journal(new.id))[-1].facts == {"reason": "asked by the sender"}
    assert (await store.call("queue_release", chosen=Chosen(ids=(new.id,)))).unfit == ((new.id, 0),)


@pytest.mark.parametrize("command", ["queue_retry", "queue_hold", "queue_cancel"])
async def test_what_a_worker_has_in_hand_is_left_alone(rig: Rig, store: SqliteStore, command: str) -> None:
    new = await rig.message(owner="w1")
    await store.accept(new)
    reason = {} if command == "queue_retry" else {"reason": "x"}
    assert await store.call(command, chosen=Chosen(), **reason) == Changed(busy=((new.id, 0),))
    done = Settlement(message_id=new.id, number=0, generation=1, state=State.DELIVERED)
    assert await store.settle([done]) == [True]


async def found(store: SqliteStore, **search: object) -> list[str]:
    result: list[Found] = await store.call("message_find", search=Search(**search))  # type: ignore[arg-type]
    return [one.id for one in result]


async def test_messages_are_found_newest_first(rig: Rig, store: SqliteStore) -> None:
    one = await rig.message("jan@clinic.example", "piet@clinic.example", state=State.DELIVERED)
    await store.accept(one)
    rig.clock.turn(3600)
    two = await rig.message("Jan@clinic.example", organisation="clinic")
    await store.accept(two)
    assert await found(store) == [two.id, one.id]
    assert await found(store, limit=1) == [two.id]
    assert await found(store, recipient="JAN@clinic.example") == [two.id, one.id]
    assert await found(store, recipient="piet*") == [one.id]
    assert await found(store, sender="info@hospital.example", organisation="clinic") == [two.id]
    assert await found(store, since=rig.clock.now() - 60) == [two.id]
    assert await found(store, until=rig.clock.now() - 60) == [one.id]
    assert await found(store, id=one.id) == [one.id]
    assert await found(store, sender="nobody@*") == []
    [first] = await store.call("message_find", search=Search(id=one.id))
    assert (first.recipients, first.states) == (("jan@clinic.example", "piet@clinic.example"), {"delivered": 2})
