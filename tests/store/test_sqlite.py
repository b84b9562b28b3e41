"""The store's promises: what was accepted is there, one worker has a delivery at a time, and a sick disk is told."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from relayd.errors import Conflict, NotFound, StoreUnavailable
from relayd.journal.event import Event
from relayd.store import schema
from relayd.store.operation import REGISTRY, reads, writes
from relayd.store.records import NewDelivery, Settlement, State
from relayd.store.sqlite import FILE, SqliteStore
from relayd.store.viewer_tables import Channel, Due
from tests.store.rig import Rig


@writes
def jot_down(db: sqlite3.Connection, now: float, text: str, fail: bool = False) -> float:
    db.execute("INSERT INTO event (message_id, at, kind, recipient, facts) VALUES ('', ?, ?, '', '{}')", (now, text))
    if fail:
        raise NotFound(text)
    return now


@reads
def sneak_a_write(db: sqlite3.Connection, now: float) -> None:
    db.execute("DELETE FROM message")


def settled(message_id: str, state: State, *, number: int = 0, generation: int = 1, **more: object) -> Settlement:
    return Settlement(message_id=message_id, number=number, generation=generation, state=state, **more)  # type: ignore[arg-type]


async def test_what_was_accepted_is_there(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message("a@clinic.example", "b@clinic.example")
    await store.accept(new)
    message = await store.message(new.id)
    assert all(getattr(message, name) == getattr(new, name) for name in message.__struct_fields__)
    assert [one.recipient for one in await store.deliveries(new.id)] == ["a@clinic.example", "b@clinic.example"]
    assert await store.journal(new.id) == list(new.events)


async def test_many_accepts_at_once_all_commit(rig: Rig, store: SqliteStore) -> None:
    messages = await asyncio.gather(*[rig.message() for _ in range(300)])
    await asyncio.gather(*[store.accept(message) for message in messages])
    for message in messages:
        assert len(await store.deliveries(message.id)) == 1
    assert rig.verify() == []


async def test_accepting_the_same_message_again_is_no_error_and_no_second_message(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message()
    await store.accept(new)
    await store.accept(new)
    assert len(await store.deliveries(new.id)) == 1
    assert len(await store.journal(new.id)) == 1


async def test_a_wrong_message_in_a_group_spoils_only_itself(rig: Rig, store: SqliteStore) -> None:
    first = await rig.message()
    await store.accept(first)
    taken = await rig.message(key=rig.key())
    taken = type(taken)(**{name: getattr(taken, name) for name in taken.__struct_fields__} | {"id": first.id})
    good = [await rig.message() for _ in range(5)]
    results = await asyncio.gather(*[store.accept(one) for one in (*good, taken)], return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 5 + [Conflict]
    for one in good:
        assert await store.message(one.id)


async def test_a_message_that_is_half_wrong_is_not_half_there(rig: Rig, store: SqliteStore) -> None:
    wrong = await rig.message()
    twice = NewDelivery(number=0, recipient="a@b.example", domain="b.example", route="relay")
    wrong = type(wrong)(
        **{name: getattr(wrong, name) for name in wrong.__struct_fields__} | {"deliveries": (twice, twice)}
    )
    with pytest.raises(sqlite3.IntegrityError):
        await store.accept(wrong)
    with pytest.raises(NotFound):
        await store.message(wrong.id)


async def test_an_unknown_message_is_not_found(store: SqliteStore) -> None:
    with pytest.raises(NotFound):
        await store.message("0000000000000000")
    assert await store.deliveries("0000000000000000") == []


async def test_it_is_all_there_after_a_restart(rig: Rig) -> None:
    store = await rig.open()
    new = await rig.message()
    await store.accept(new)
    await store.close()
    store = await rig.open()
    assert (await store.message(new.id)).wrapped_key == new.wrapped_key
    await store.close()


async def test_a_due_delivery_is_claimed_once_and_put_off_before_it_is_dialled(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message("a@clinic.example", "b@clinic.example", next_attempt=rig.clock.now() + 10)
    await store.accept(new)
    assert await store.next_due(rig.clock.now()) == rig.clock.now() + 10
    assert await store.claim("w1", rig.clock.now(), 10, rig.clock.now() + 600) == []
    rig.clock.turn(10)
    now = rig.clock.now()
    claims = await asyncio.gather(*[store.claim(f"w{n}", now, 10, now + 600) for n in range(8)])
    won = [claimed for claim in claims for claimed in claim]
    assert len(won) == 1
    assert won[0].message.id == new.id
    assert [(one.generation, one.next_attempt) for one in won[0].deliveries] == [(1, now + 600)] * 2
    assert list(won[0].deliveries) == await store.deliveries(new.id)
    assert await store.next_due(now) is None


async def test_a_claim_takes_no_more_than_its_limit_and_the_longest_due_first(rig: Rig, store: SqliteStore) -> None:
    now = rig.clock.now()
    messages = [await rig.message(next_attempt=now - number) for number in range(5)]
    for message in messages:
        await store.accept(message)
    claimed = await store.claim("w1", now, 2, now + 600)
    assert {one.message.id for one in claimed} == {messages[4].id, messages[3].id}


async def test_held_and_finished_deliveries_are_never_claimed(rig: Rig, store: SqliteStore) -> None:
    for state in set(State) - {State.QUEUED, State.UNDECIDED}:
        await store.accept(await rig.message(state=state))
    assert await store.claim("w1", rig.clock.now(), 10, rig.clock.now() + 600) == []
    assert await store.next_due(rig.clock.now()) is None


async def test_an_accepted_delivery_may_have_its_owner_from_the_start(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(owner="w1")
    await store.accept(new)
    assert await store.claim("w2", rig.clock.now(), 10, rig.clock.now() + 600) == []
    event = Event(rig.clock.now(), "delivered", "a@clinic.example", {"tls": "TLSv1.3"})
    done = settled(new.id, State.DELIVERED, last_reply="250 2.0.0 ok", events=(event,))
    assert await store.settle([done]) == [True]
    [delivery] = await store.deliveries(new.id)
    assert (delivery.state, delivery.attempts, delivery.owner) == (State.DELIVERED, 1, None)
    assert (await store.journal(new.id))[-1] == event


async def test_a_settlement_counts_once(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(owner="w1")
    await store.accept(new)
    later = settled(new.id, State.QUEUED, next_attempt=rig.clock.now() + 60, last_reply="450 later")
    assert await store.settle([later, later]) == [True, False]
    assert await store.settle([later]) == [False]
    [delivery] = await store.deliveries(new.id)
    assert (delivery.attempts, delivery.next_attempt, delivery.last_reply) == (1, rig.clock.now() + 60, "450 later")


async def test_a_settlement_of_an_old_claim_writes_nothing_at_all(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(owner="w1")
    await store.accept(new)
    await store.free("w1")
    [claimed] = await store.claim("w2", rig.clock.now(), 10, rig.clock.now() + 600)
    report = await rig.message()
    late = settled(
        new.id,
        State.FAILED,
        events=(Event(0, "failed"),),
        follow_ups=(report,),
        operations=(("jot_down", {"text": "never"}),),
    )
    assert await store.settle([late]) == [False]
    assert await store.journal(new.id) == list(new.events)
    assert await store.journal("") == []
    with pytest.raises(NotFound):
        await store.message(report.id)
    assert await store.settle([settled(new.id, State.DELIVERED, generation=claimed.deliveries[0].generation)]) == [True]


async def test_follow_ups_and_operations_exist_exactly_when_the_settlement_does(rig: Rig, store: SqliteStore) -> None:
    new, report = await rig.message(owner="w1"), await rig.message()
    await store.accept(new)
    failing = settled(
        new.id, State.FAILED, follow_ups=(report,), operations=(("jot_down", {"text": "x", "fail": True}),)
    )
    with pytest.raises(NotFound):
        await store.settle([failing])
    with pytest.raises(NotFound):
        await store.message(report.id)
    assert (await store.deliveries(new.id))[0].state is State.QUEUED
    done = settled(new.id, State.FAILED, follow_ups=(report,), operations=(("jot_down", {"text": "noted"}),))
    assert await store.settle([done]) == [True]
    assert (await store.message(report.id)).id == report.id
    assert [event.kind for event in await store.journal("")] == ["noted"]


async def test_a_settlement_may_decide_the_route(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message(owner="w1", state=State.UNDECIDED, route="", target="")
    await store.accept(new)
    decided = settled(
        new.id,
        State.QUEUED,
        next_attempt=rig.clock.now(),
        counts_as_attempt=False,
        route="viewer",
        target="",
        message_class="notice",
        copy=1,
        delayed_notice=True,
    )
    assert await store.settle([decided]) == [True]
    [one] = await store.deliveries(new.id)
    assert (one.route, one.message_class, one.copy, one.delayed_notice, one.attempts) == (
        "viewer",
        "notice",
        1,
        True,
        0,
    )


async def test_of_two_judgements_from_the_same_meta_the_second_is_made_anew(rig: Rig, store: SqliteStore) -> None:
    people = ("a@clinic.example", "b@clinic.example", "c@clinic.example")
    new = await rig.message(*people, owner="w1", state=State.UNDECIDED, route="", target="")
    await store.accept(new)
    decided: dict[str, object] = {"route": "relay", "target": "x", "copy": 1, "meta_before": new.meta}
    together = [settled(new.id, State.QUEUED, number=number, meta=b"one", **decided) for number in (0, 1)]
    assert await store.settle(together) == [True, True]
    judged = Event(rig.clock.now(), "judged")
    assert await store.settle([settled(new.id, State.QUEUED, number=2, meta=b"other", events=(judged,), **decided)])
    assert (await store.message(new.id)).meta == b"one"
    assert judged not in await store.journal(new.id)
    shapes = [(one.state, one.route, one.copy) for one in await store.deliveries(new.id)]
    assert shapes == [(State.QUEUED, "relay", 1), (State.QUEUED, "relay", 1), (State.UNDECIDED, "", 0)]
    [again] = [one for one in await store.deliveries(new.id) if one.state is State.UNDECIDED]
    assert (again.owner, again.attempts, again.next_attempt) == (None, 0, rig.clock.now())


async def test_a_silent_worker_loses_its_deliveries_and_is_told_once(rig: Rig, store: SqliteStore) -> None:
    assert await store.heartbeat("w1", rig.clock.now(), 30)
    await store.accept(await rig.message(owner="w1", next_attempt=rig.clock.now()))
    rig.clock.turn(29)
    assert await store.claim("w2", rig.clock.now(), 10, rig.clock.now()) == []
    assert await store.heartbeat("w1", rig.clock.now(), 30)
    rig.clock.turn(31)
    assert len(await store.claim("w2", rig.clock.now(), 10, rig.clock.now())) == 1
    assert not await store.heartbeat("w1", rig.clock.now(), 30)
    assert await store.heartbeat("w1", rig.clock.now(), 30)


async def test_a_worker_that_never_sent_a_heartbeat_loses_its_deliveries_too(rig: Rig, store: SqliteStore) -> None:
    await store.accept(await rig.message(owner="w1"))
    rig.clock.turn(120)
    assert len(await store.claim("w2", rig.clock.now(), 10, rig.clock.now())) == 1


async def test_a_freed_worker_that_accepts_again_can_be_freed_again(rig: Rig, store: SqliteStore) -> None:
    await store.accept(await rig.message(owner="w1"))
    assert await store.free("w1") == 1
    await store.accept(await rig.message(owner="w1"))
    rig.clock.turn(120)
    assert len(await store.claim("w2", rig.clock.now(), 10, rig.clock.now())) == 2


async def test_freed_deliveries_wait_for_the_time_written_before_dialling(rig: Rig, store: SqliteStore) -> None:
    now = rig.clock.now()
    await store.accept(await rig.message())
    await store.claim("w1", now, 10, now + 600)
    assert await store.free("w1") == 1
    assert await store.next_due(now) == now + 600


async def test_a_failed_claim_extends_nothing(rig: Rig, store: SqliteStore) -> None:
    await store.heartbeat("w1", rig.clock.now(), 30)
    await store.accept(await rig.message(owner="w1"))
    rig.clock.turn(20)
    for worker in ("w1", "w2"):
        assert await store.claim(worker, rig.clock.now(), 10, rig.clock.now()) == []
    rig.clock.turn(11)
    assert len(await store.claim("w2", rig.clock.now(), 10, rig.clock.now())) == 1


async def test_an_operation_that_fails_undoes_only_itself(rig: Rig, store: SqliteStore) -> None:
    results = await asyncio.gather(
        store.call("jot_down", text="one"),
        store.call("jot_down", text="two", fail=True),
        store.call("jot_down", text="three"),
        return_exceptions=True,
    )
    assert isinstance(results[1], NotFound)
    assert results[0] == results[2] == rig.clock.now()
    assert sorted(event.kind for event in await store.journal("")) == ["one", "three"]


async def test_reading_operations_cannot_write(store: SqliteStore) -> None:
    with pytest.raises((sqlite3.OperationalError, StoreUnavailable)):
        await store.call("sneak_a_write")
    with pytest.raises(NotFound):
        await store.call("no_such_operation")
    assert not REGISTRY["message_find"].writes


async def test_only_one_opens_a_state_folder_and_the_other_hears_who_has_it(rig: Rig, store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable, match=r"in use by process \d+"):
        await rig.open()


async def test_a_nearly_full_disk_stops_accepts_and_claims_but_not_settlements(rig: Rig) -> None:
    rig.settings = rig.settings.model_copy(update={"minimum_free": 1000})
    store = await rig.open()
    new, other = await rig.message(owner="w1"), await rig.message()
    await store.accept(new)
    rig.disk.free_octets = 999
    rig.clock.turn(2)
    with pytest.raises(StoreUnavailable):
        await store.accept(other)
    with pytest.raises(StoreUnavailable):
        await store.claim("w1", rig.clock.now(), 1, rig.clock.now())
    assert await store.settle([settled(new.id, State.DELIVERED)]) == [True]
    rig.disk.free_octets = 1000
    rig.clock.turn(2)
    await store.accept(other)
    await store.close()


async def test_a_file_that_is_no_database_is_unavailable(rig: Rig) -> None:
    (rig.state / FILE).write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable):
        await rig.open()


async def test_a_database_of_a_newer_relayd_is_refused(rig: Rig) -> None:
    await (await rig.open()).close()
    with sqlite3.connect(rig.state / FILE) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        await rig.open()


def make_older(file: Path, version: int) -> None:
    """Bring the messages of a database into one as this older version made it, beside a reader of the Viewer."""
    old = sqlite3.connect(file.with_suffix(".old"))
    old.executescript((Path(__file__).parent / "schemas" / "version_2.sql").read_text())
    names = [row[1] for row in old.execute("PRAGMA table_info(message)")]
    new = sqlite3.connect(file)
    for row in new.execute(f"SELECT {', '.join(names)} FROM message").fetchall():  # noqa: S608
        old.execute(f"INSERT INTO message VALUES ({', '.join('?' * len(names))})", row)  # noqa: S608
    new.close()
    old.execute(
        "INSERT INTO viewer_grant (id, token_hash, message_id, organisation, recipient, copy, language, mobile,"
        " created_at, expires_at, alert) VALUES"
        " ('g1', x'01', 'm1', 'zuid', 'p@x.example', 0, 'nl', x'02', 1, 9e9, 'locked')"
    )
    if version == 1:
        old.execute("ALTER TABLE message DROP COLUMN require_tls")
    old.execute(f"PRAGMA user_version = {version}")
    old.commit()
    old.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    file.with_suffix(".old").rename(file)


@pytest.mark.parametrize("version", [1, 2])
async def test_readers_of_an_older_database_keep_their_link_and_the_notices_that_are_due(
    rig: Rig, version: int
) -> None:
    await (await rig.open()).close()
    make_older(rig.state / FILE, version)
    store = await rig.open()
    grant = await store.call("viewer_grant_by_token", token_hash=b"\x01")
    assert (grant.recipient, grant.channel, grant.mobile, grant.thread) == ("p@x.example", Channel.SMS, b"\x02", "g1")
    (notice,) = await store.call("viewer_due_notices")
    assert (notice.grant.id, notice.kind) == ("g1", Due.LOCKED)
    await store.close()


async def test_messages_and_operations_are_committed_as_one_and_once(rig: Rig, store: SqliteStore) -> None:
    first, second = await rig.message(), await rig.message()
    kept = ("viewer_secret_keep", {"name": "x", "sealed": b"1"})
    with pytest.raises(NotFound):
        await store.commit([first, second], [kept, ("no such operation", {})])
    for message in (first, second):
        with pytest.raises(NotFound):
            await store.message(message.id)
    assert await store.call("viewer_secret_keep", name="x", sealed=b"2") == b"2"
    event = ("sender_was_told", {"message_id": first.id})
    for _ in range(2):
        await store.commit([first, second], [event])
    assert [one.kind for one in await store.journal(first.id)].count("retention-ends") == 1
    assert (await store.message(second.id)).id == second.id


async def test_a_database_of_version_1_gets_what_it_lacks_and_keeps_what_it_has(rig: Rig) -> None:
    store = await rig.open()
    before = msgspec.structs.replace(await rig.message(), require_tls=True)
    await store.accept(before)
    await store.close()
    make_older(rig.state / FILE, 1)
    for _ in range(2):
        store = await rig.open()
        assert (await store.message(before.id)).sender == before.sender
        assert not (await store.message(before.id)).require_tls
        after = msgspec.structs.replace(await rig.message(), require_tls=True)
        await store.accept(after)
        assert (await store.message(after.id)).require_tls
        await store.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await rig.open()).close()
    make_older(rig.state / FILE, 1)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_STEPS", {**schema._STEPS, 3: ("no SQL at all",)})
        patched.setattr(schema, "_VERSION", 3)
        with pytest.raises(StoreUnavailable):
            await rig.open()
    with sqlite3.connect(rig.state / FILE) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 1
        assert "require_tls" not in {row[1] for row in db.execute("PRAGMA table_info(message)")}
    db.close()
    await (await rig.open()).close()


async def test_a_cancelled_caller_does_not_cancel_the_commit(rig: Rig, store: SqliteStore) -> None:
    new = await rig.message()
    task = asyncio.create_task(store.accept(new))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await store.accept(await rig.message())
    assert (await store.message(new.id)).id == new.id


async def test_nothing_of_the_content_is_in_any_file(rig: Rig, store: SqliteStore) -> None:
    for size in (10, 1_000_000):
        content = b"Subject: canary-subject\r\n\r\n" + b"canary-body\r\n" * size
        await store.accept(await rig.message(content=content[:2_000_000]))
    everything = b"".join(path.read_bytes() for path in rig.folder.rglob("*") if path.is_file())
    assert b"canary" not in everything
    assert b"info@hospital.example" in everything
