"""verify finds each broken invariant."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

import pytest

from relayd.store.sqlite import FILE, SqliteStore
from tests.store.rig import DAY, Rig

BODY = b"X: y\r\n\r\n" + b"z" * 1_000_000


async def test_a_healthy_store_has_no_violations(rig: Rig, store: SqliteStore) -> None:
    for content in (b"X: y\r\n\r\n", BODY):
        await store.accept(await rig.message(content=content))
    assert rig.verify() == []


COPY_ROW = (
    "INSERT INTO message SELECT id || 'x', organisation, epoch, received_at, expires_at, sender, size, origin, "
    "wrapped_key, body_file, body_offset, body_length, meta, 0, '', null, null, null, null, 0 FROM message"
)


def sql(statement: str) -> Callable[[Rig], None]:
    def run(rig: Rig) -> None:
        with sqlite3.connect(rig.state / FILE) as db:
            db.execute(statement)
        db.close()

    return run


def cut_body(rig: Rig) -> None:
    for name, facts in rig.blobs.files():
        os.truncate(rig.state / "blobs" / name, facts.st_size - 1)


def alter_body(rig: Rig) -> None:
    for name, _ in rig.blobs.files():
        path = rig.state / "blobs" / name
        octets = bytearray(path.read_bytes())
        octets[-1] ^= 1
        path.write_bytes(octets)


def remove_body(rig: Rig) -> None:
    for name, _ in list(rig.blobs.files()):
        (rig.state / "blobs" / name).unlink()


def remove_keys(rig: Rig) -> None:
    for path in rig.keys.glob("epochs/*/*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (remove_body, {"body", "content"}),
        (cut_body, {"body", "content"}),
        (alter_body, {"content"}),
        (remove_keys, {"key", "content"}),
        (sql("UPDATE message SET wrapped_key = x''"), {"key"}),
        (sql("UPDATE message SET meta = x'00'"), {"content"}),
        (sql("UPDATE message SET body_offset = body_offset + 1"), {"body", "content"}),
        (sql(COPY_ROW), {"body", "content"}),
        (sql("UPDATE delivery SET state = 'lost'"), {"delivery"}),
        (sql("UPDATE delivery SET route = ''"), {"delivery"}),
        (sql("UPDATE delivery SET state = 'delivered', owner = 'w1', generation = 1"), {"delivery", "owner"}),
        (sql("UPDATE delivery SET owner = 'w1', generation = 1"), {"owner"}),
        (sql("UPDATE delivery SET message_id = 'none'"), {"delivery"}),
    ],
)  # fmt: skip
async def test_each_damage_is_found(rig: Rig, damage: Callable[[Rig], None], rules: set[str]) -> None:
    store = await rig.open()
    await store.accept(await rig.message(content=BODY))
    damage(rig)
    assert {violation.rule for violation in rig.verify()} == rules
    await store.close()


async def test_what_a_dead_worker_left_is_no_violation_before_the_grace_ends(rig: Rig, store: SqliteStore) -> None:
    await store.heartbeat("w1", 0, 30)
    await store.accept(await rig.message(owner="w1"))
    rig.clock.turn(55)
    assert rig.verify() == []
    rig.clock.turn(10)
    assert [violation.rule for violation in rig.verify()] == ["owner"]


async def test_with_relayd_stopped_left_over_owners_are_no_violation(rig: Rig) -> None:
    store = await rig.open()
    await store.accept(await rig.message(owner="w1"))
    await store.close()
    rig.clock.turn(DAY / 48)
    assert rig.verify() == []


async def test_a_database_of_an_older_version_is_looked_at_as_it_is(rig: Rig) -> None:
    store = await rig.open()
    await store.accept(await rig.message())
    await store.close()
    sql("ALTER TABLE message DROP COLUMN require_tls")(rig)
    sql("PRAGMA user_version = 1")(rig)
    assert rig.verify(deep=True) == []
