"""MTA-STS policies that are kept: shared by all workers, there after a restart, fetched anew in time."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.address import Domain
from relayd.store.sqlite import FILE, SqliteStore
from relayd.tls.mta_sts import StsFetch, StsReason, StsRecord
from relayd.tls.results import PolicyType, ResultType, TlsResult
from relayd.tls.sts_cache import REFRESH_AFTER, RETRY_AFTER, UNUSED_AFTER, Kept, KeptStsPolicies
from relayd.tls.sts_policy import StsMode, StsPolicy
from tests.store.rig import DAY, Rig

CLINIC = Domain("clinic.example")
WEEK = 7 * 86400


class World:
    """What DNS and the web server say at the moment, and how often they were asked."""

    def __init__(self) -> None:
        self.record_is = StsRecord(StsReason.FOUND, "a1")
        self.policy_is: StsPolicy | StsReason = policy()
        self.fetches = 0
        self.looks = 0
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def record(self, domain: Domain) -> StsRecord:
        self.looks += 1
        return self.record_is

    async def fetch(self, domain: Domain, identity: str) -> StsFetch:
        self.fetches += 1
        self.asked.set()
        await self.open.wait()
        if isinstance(self.policy_is, StsReason):
            return StsFetch(self.policy_is, detail="so it went")
        found = self.policy_is
        return StsFetch(StsReason.FOUND, StsPolicy(domain, identity, found.mode, found.mx, found.max_age))


class Noted:
    def __init__(self) -> None:
        self.all: list[TlsResult] = []

    def note(self, result: TlsResult) -> None:
        self.all.append(result)


def policy(mode: StsMode = StsMode.ENFORCE, *mx: str, max_age: int = WEEK) -> StsPolicy:
    return StsPolicy(CLINIC, "a1", mode, mx or ("mx.clinic.example",), max_age)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def policies(rig: Rig, store: SqliteStore, world: World, noted: Noted) -> KeptStsPolicies:
    return KeptStsPolicies(world, store, rig.clock, noted)


async def test_a_policy_is_fetched_once_and_kept(policies: KeptStsPolicies, world: World, noted: Noted) -> None:
    assert await policies.policy(CLINIC) == policy()
    assert await policies.policy(CLINIC) == policy()
    assert (world.fetches, world.looks, noted.all) == (1, 2, [])


async def test_a_kept_policy_survives_a_restart_without_its_web_server(rig: Rig, world: World) -> None:
    store = await rig.open()
    await KeptStsPolicies(world, store, rig.clock).policy(CLINIC)
    await store.close()
    world.policy_is = StsReason.UNREACHABLE
    world.record_is = StsRecord(StsReason.NO_RECORD)
    store = await rig.open()
    assert await KeptStsPolicies(world, store, rig.clock).policy(CLINIC) == policy()
    await store.close()


@pytest.mark.parametrize(
    "record",
    [StsReason.NO_RECORD, StsReason.DNS_FAILED, StsReason.SEVERAL_RECORDS, StsReason.RECORD_INVALID],
)
async def test_without_a_live_record_the_kept_policy_applies_until_it_expires(
    record: StsReason, rig: Rig, policies: KeptStsPolicies, world: World
) -> None:
    await policies.policy(CLINIC)
    world.record_is = StsRecord(record)
    rig.clock.turn(WEEK - 1)
    assert await policies.policy(CLINIC) == policy()
    rig.clock.turn(1)
    assert await policies.policy(CLINIC) is None
    assert world.fetches == 1


async def test_a_new_id_brings_the_new_policy_at_once(policies: KeptStsPolicies, world: World) -> None:
    await policies.policy(CLINIC)
    world.record_is = StsRecord(StsReason.FOUND, "b2")
    world.policy_is = policy(StsMode.ENFORCE, "mx2.clinic.example")
    found = await policies.policy(CLINIC)
    assert found is not None
    assert (found.id, found.mx) == ("b2", ("mx2.clinic.example",))


@pytest.mark.parametrize("failure", [StsReason.CERTIFICATE_NAME, StsReason.HTTP_STATUS, StsReason.POLICY_INVALID])
async def test_a_new_policy_that_cannot_be_had_leaves_the_old_one_in_force(
    failure: StsReason, policies: KeptStsPolicies, world: World, noted: Noted
) -> None:
    await policies.policy(CLINIC)
    world.record_is = StsRecord(StsReason.FOUND, "b2")
    world.policy_is = failure
    assert await policies.policy(CLINIC) == policy()
    (result,) = noted.all
    assert (result.domain, result.type, result.failure) == (CLINIC, PolicyType.STS, failure.result)
    assert result.mx_patterns == ("mx.clinic.example",)
    assert result.policy == ("version: STSv1", "mode: enforce", "mx: mx.clinic.example", f"max_age: {WEEK}")
    assert result.reason.startswith(failure.value)


async def test_a_server_that_failed_is_left_alone_for_five_minutes(
    rig: Rig, policies: KeptStsPolicies, world: World, noted: Noted
) -> None:
    world.policy_is = StsReason.TIMEOUT
    for _ in range(3):
        assert await policies.policy(CLINIC) is None
    world.record_is = StsRecord(StsReason.FOUND, "b2")  # nor does another id make it come sooner
    rig.clock.turn(RETRY_AFTER - 1)
    assert await policies.policy(CLINIC) is None
    assert world.fetches == 1
    rig.clock.turn(1)
    world.policy_is = policy()
    assert await policies.policy(CLINIC) is not None
    assert world.fetches == 2
    assert [result.failure for result in noted.all] == [ResultType.STS_POLICY_FETCH_ERROR]


async def test_all_who_ask_at_once_share_one_fetch_and_one_may_give_up(policies: KeptStsPolicies, world: World) -> None:
    world.open.clear()
    impatient, *others = [asyncio.create_task(policies.policy(CLINIC)) for _ in range(20)]
    await world.asked.wait()
    impatient.cancel()
    await asyncio.wait([impatient])
    world.open.set()
    assert set(await asyncio.gather(*others)) == {policy()}
    assert world.fetches == 1


async def test_mode_none_ends_a_policy_and_is_not_fetched_again_and_again(
    policies: KeptStsPolicies, world: World
) -> None:
    await policies.policy(CLINIC)
    world.record_is = StsRecord(StsReason.FOUND, "b2")
    world.policy_is = policy(StsMode.NONE)
    assert [await policies.policy(CLINIC) for _ in range(3)] == [None, None, None]
    assert world.fetches == 2


async def test_testing_is_told_as_testing(policies: KeptStsPolicies, world: World) -> None:
    world.policy_is = policy(StsMode.TESTING)
    found = await policies.policy(CLINIC)
    assert found is not None
    assert found.mode is StsMode.TESTING


async def test_an_expired_policy_is_fetched_again_under_the_same_id(
    rig: Rig, policies: KeptStsPolicies, world: World
) -> None:
    world.policy_is = policy(max_age=60)
    await policies.policy(CLINIC)
    rig.clock.turn(60)
    assert await policies.policy(CLINIC) == policy(max_age=60)
    assert world.fetches == 2


async def test_policies_in_use_are_refreshed_daily_by_one_worker(
    rig: Rig, store: SqliteStore, policies: KeptStsPolicies, world: World
) -> None:
    await policies.policy(CLINIC)
    other = KeptStsPolicies(world, store, rig.clock)
    assert await policies.refresh() == 0
    rig.clock.turn(REFRESH_AFTER)
    assert sorted([await policies.refresh(), await other.refresh()]) == [0, 1]
    assert world.fetches == 2
    rig.clock.turn(WEEK - 1)
    world.record_is = StsRecord(StsReason.NO_RECORD)
    assert await policies.policy(CLINIC) is not None, "the refreshed one lives a week from its refresh"


async def test_a_refresh_that_fails_keeps_what_there_is(rig: Rig, policies: KeptStsPolicies, world: World) -> None:
    await policies.policy(CLINIC)
    rig.clock.turn(REFRESH_AFTER)
    world.policy_is = StsReason.CERTIFICATE_EXPIRED
    assert await policies.refresh() == 1
    assert await policies.policy(CLINIC) == policy()


async def test_what_nobody_needs_is_not_refreshed_and_in_the_end_forgotten(
    rig: Rig, store: SqliteStore, policies: KeptStsPolicies, world: World
) -> None:
    await policies.policy(CLINIC)
    rig.clock.turn(2 * DAY)
    await policies.policy(CLINIC)  # used: thirty days count from here
    rig.clock.turn(UNUSED_AFTER - 1)
    assert await policies.refresh() == 1
    rig.clock.turn(2 * DAY)
    assert await policies.refresh() == 0
    assert await store.call("sts_kept", domain=CLINIC) is not None, "it hasn't expired yet"
    rig.clock.turn(WEEK)
    await policies.refresh()
    assert await store.call("sts_kept", domain=CLINIC) is None


async def test_a_purged_policy_is_fetched_anew(store: SqliteStore, policies: KeptStsPolicies, world: World) -> None:
    await policies.policy(CLINIC)
    assert await store.call("sts_forget", domain=CLINIC) is True
    assert await store.call("sts_forget", domain=CLINIC) is False
    await policies.policy(CLINIC)
    assert world.fetches == 2


async def test_a_store_that_cannot_keep_it_costs_no_policy(rig: Rig, store: SqliteStore, world: World) -> None:
    class Sick:
        async def call(self, operation: str, **arguments: object) -> object:
            if operation == "sts_keep":
                raise StoreUnavailable("the disk is sick")
            return await store.call(operation, **arguments)

    assert await KeptStsPolicies(world, Sick(), rig.clock).policy(CLINIC) == policy()


async def test_without_the_store_nobody_says_that_there_is_no_policy(rig: Rig, world: World) -> None:
    """What is kept may be an enforced policy: mail waits rather than goes another way."""

    class Away:
        async def call(self, operation: str, **arguments: object) -> object:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await KeptStsPolicies(world, Away(), rig.clock).policy(CLINIC)


async def test_closing_leaves_nothing_behind(policies: KeptStsPolicies, world: World) -> None:
    world.open.clear()
    policies.start()
    asking = asyncio.create_task(policies.policy(CLINIC))
    await world.asked.wait()
    await policies.close()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_a_store_of_before_gets_the_table(rig: Rig, world: World) -> None:
    await (await rig.open()).close()
    with sqlite3.connect(rig.state / FILE) as db:
        db.execute("DROP TABLE sts_policy")
    db.close()
    store = await rig.open()
    assert await KeptStsPolicies(world, store, rig.clock).policy(CLINIC) == policy()
    await store.close()


@pytest.mark.parametrize(
    ("kept", "now", "lives"),
    [
        (Kept(domain="clinic.example"), 0.0, False),
        (
            Kept(domain="clinic.example", id="a", policy="version: STSv1\nmode: none\nmax_age: 9", expires_at=9.0),
            8,
            True,
        ),
        (
            Kept(domain="clinic.example", id="a", policy="version: STSv1\nmode: none\nmax_age: 9", expires_at=9.0),
            9,
            False,
        ),
    ],
)
def test_how_long_a_policy_lives(kept: Kept, now: float, lives: bool) -> None:
    assert (kept.live(now) is not None) is lives
