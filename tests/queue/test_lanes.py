"""What the lanes promise: nothing lost, nothing twice, nobody starved, everybody told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.errors import StoreUnavailable
from relayd.mail.address import Domain
from relayd.queue.outcome import Result
from relayd.queue.scheduler import Lanes
from relayd.store.records import Claimed, Message, NewMessage, Settlement, State
from tests.kit.jobs import CONTENT
from tests.kit.lanes import START, Site, open_site

HOSPITAL = Domain("hospital.example")
LATER = (Result.DEFERRED, "4.2.1", "450 4.2.1 later")
NEVER = (Result.FAILED, "5.1.1", "550 5.1.1 nobody")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    directory = Directory({}, {HOSPITAL: DomainEntry(HOSPITAL, Delivers.RELAY, next_hops=("mx:25",))}, {}, {}, {})
    async with open_site(tmp_path, directory) as site:
        yield site


async def run_until_idle(site: Site, lanes: Lanes, *claims: Claimed) -> None:
    """Deliver what is due, then give everything back."""
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    await settle_due(site, lanes)
    await lanes.idle()
    await lanes.drain()


async def settle_due(site: Site, lanes: Lanes) -> None:
    """Until nothing is due and nobody works on anything."""
    while site.busy():
        lanes.wake()
        await asyncio.sleep(0.001)


async def test_what_was_just_accepted_goes_out_with_its_patch(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", put=b"Received: x\r\n")
    await run_until_idle(site, site.lanes(), claimed)
    assert site.route.contents == [b"Received: x\r\n" + CONTENT]
    assert await site.states(claimed) == [State.DELIVERED]
    assert await site.kinds(claimed) == ["delivered"]


async def test_what_is_due_is_found_and_delivered_once(site: Site) -> None:
    claims = [await site.accept("b@partner.example") for _ in range(30)]
    lanes = site.lanes()
    await run_until_idle(site, lanes)
    assert len(site.route.jobs) == 30
    assert [await site.states(c) for c in claims] == [[State.DELIVERED]] * 30


async def test_recipients_of_one_next_hop_share_a_job(site: Site) -> None:
    claimed = await site.accept("b@partner.example", "c@partner.example", "d@other.example", owner="w1")
    await run_until_idle(site, site.lanes(), claimed)
    assert sorted(len(job.deliveries) for job in site.route.jobs) == [1, 2]


async def test_a_deferral_waits_for_the_schedule(site: Site) -> None:
    site.route.answer = LATER
    claimed = await site.accept("b@partner.example", owner="w1")
    await run_until_idle(site, site.lanes(), claimed)
    delivery = await site.delivery(claimed)
    assert (delivery.state, delivery.attempts, delivery.next_attempt) == (State.QUEUED, 1, START + 60)
    assert delivery.owner is None
    assert delivery.last_reply == "450 4.2.1 later"


async def test_an_ambiguous_end_is_tried_again(site: Site) -> None:
    site.route.answer = (Result.AMBIGUOUS, "4.4.2", "lost")
    claimed = await site.accept("b@partner.example", owner="w1")
    await run_until_idle(site, site.lanes(), claimed)
    delivery = await site.delivery(claimed)
    assert (delivery.state, delivery.attempts) == (State.QUEUED, 1)
    assert await site.kinds(claimed) == ["ambiguous"]


async def test_a_failure_is_reported_in_the_same_transaction(site: Site) -> None:
    site.route.by_recipient = {"b@partner.example": NEVER, "c@partner.example": NEVER}
    claimed = await site.accept("b@partner.example", "c@partner.example", "d@partner.example", owner="w1")
    await run_until_idle(site, site.lanes(), claimed)
    assert await site.states(claimed) == [State.FAILED, State.FAILED, State.DELIVERED]
    expected = [("b@partner.example", "failed", "5.1.1"), ("c@partner.example", "failed", "5.1.1")]
    assert site.reporter.reports == [(claimed.message.id, expected)]
    assert "reported" in await site.kinds(claimed)


async def test_reports_themselves_are_delivered_and_never_reported(site: Site) -> None:
    site.route.answer = NEVER
    claimed = await site.accept("b@partner.example", owner="w1")
    lanes = site.lanes()
    await lanes.start()
    lanes.offer(claimed)
    await lanes.idle()
    await settle_due(site, lanes)
    await lanes.drain()
    assert [job.message.sender for job in site.route.jobs] == ["a@hospital.example", ""]
    assert len(site.reporter.reports) == 1


@pytest.mark.parametrize(
    ("facts", "answer", "action"),
    [
        ({}, NEVER, "failed"),
        ({"notify": "FAILURE"}, NEVER, "failed"),
        ({"notify": "NEVER"}, NEVER, None),
        ({"notify": "DELAY,SUCCESS"}, NEVER, None),
        ({"sender": ""}, NEVER, None),
        ({}, (Result.DELIVERED, "2.0.0", "250"), None),
        ({"notify": "SUCCESS"}, (Result.DELIVERED, "2.0.0", "250"), None),
        ({"notify": "SUCCESS"}, (Result.RELAYED, "2.0.0", "250"), "relayed"),
        ({"notify": "FAILURE"}, (Result.RELAYED, "2.0.0", "250"), None),
        ({"notify": "SUCCESS", "route": "mailbox", "target": "box"}, (Result.DELIVERED, "2.0.0", "250"), "delivered"),
        ({"notify": "SUCCESS", "sender": ""}, (Result.RELAYED, "2.0.0", "250"), None),
    ],
    ids=str,
)
async def test_who_is_told_what(
    site: Site, facts: dict[str, str], answer: tuple[Result, str, str], action: str | None
) -> None:
    site.route.answer = site.mailbox.answer = answer
    claimed = await site.accept("b@partner.example", owner="w1", **facts)
    await run_until_idle(site, site.lanes(), claimed)
    assert [said[0][1] for _, said in site.reporter.reports] == ([action] if action else [])


async def test_a_delay_is_told_once_and_expiry_ends_it(site: Site) -> None:
    site.route.answer = LATER
    claimed = await site.accept("b@partner.example")
    lanes = site.lanes()
    await lanes.start()
    for _ in range(40):
        await settle_due(site, lanes)
        site.clock.forward(300)
        lanes.wake()
    await settle_due(site, lanes)
    await lanes.drain()
    assert [said[0][1:] for _, said in site.reporter.reports] == [("delayed", "4.2.1"), ("failed", "5.4.7")]
    delivery = await site.delivery(claimed)
    assert delivery.state is State.FAILED
    assert delivery.updated_at <= START + 7200 + 300
    assert (await site.kinds(claimed))[-3:] == ["deferred", "expired", "reported"]


async def test_a_lowered_lifetime_counts_at_once(site: Site) -> None:
    site.route.answer = LATER
    claimed = await site.accept("b@partner.example")
    site.clock.forward(600)
    await run_until_idle(site, site.lanes(lifetime=timedelta(minutes=5)))
    assert await site.states(claimed) == [State.FAILED]


async def test_a_defect_in_a_route_defers(site: Site) -> None:
    site.route.error = RuntimeError("a defect")
    claimed = await site.accept("b@partner.example", owner="w1")
    await run_until_idle(site, site.lanes(), claimed)
    delivery = await site.delivery(claimed)
    assert (delivery.state, delivery.last_reply) == (State.QUEUED, "an internal error")


async def test_damaged_content_waits_for_an_operator(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", content=b"Subject: x\r\n\r\n" + b"y" * 100)
    for file, _ in list(site.blobs.files()):
        path = site.blobs._folder / file
        octets = bytearray(path.read_bytes())
        octets[-20] ^= 1
        path.chmod(0o600)
        path.write_bytes(octets)
    await run_until_idle(site, site.lanes(), claimed)
    assert await site.states(claimed) == [State.HELD]


async def test_caps_per_next_hop_and_in_total(site: Site) -> None:
    site.route.gate.clear()
    claims = [await site.accept(f"b@p{n % 3}.example", owner="w1") for n in range(30)]
    lanes = site.lanes(connections_per_next_hop=2, concurrency=5)
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    await site.route.entered.wait()
    site.route.gate.set()
    await lanes.idle()
    await lanes.drain()
    assert site.route.most == 5
    assert [await site.states(c) for c in claims] == [[State.DELIVERED]] * 30


async def test_a_slow_next_hop_does_not_keep_others_out(site: Site) -> None:
    site.route.gate.clear()
    for _ in range(120):
        await site.accept("b@slow.example")
    fast = await site.accept("b@partner.example", route="mailbox", target="box")
    lanes = site.lanes(connections_per_next_hop=1, concurrency=10)
    await lanes.start()
    while await site.states(fast) != [State.DELIVERED]:
        lanes.wake()
        site.clock.forward(1)
        await asyncio.sleep(0.001)
    assert site.route.most == 1
    site.route.gate.set()
    await lanes.drain()


async def test_a_sick_store_stops_delivery_and_loses_no_outcome(site: Site) -> None:
    first = await site.accept("b@partner.example", owner="w1")
    second = await site.accept("b@other.example", owner="w1")
    site.route.gate.clear()
    lanes = site.lanes()
    await lanes.start()
    lanes.offer(first)
    await site.route.entered.wait()
    site.store.sick = True
    site.store.settled.clear()
    site.route.gate.set()
    await site.store.settled.wait()
    while lanes.has_room:  # noqa: ASYNC110
        await asyncio.sleep(0)
    lanes.offer(second)
    await asyncio.sleep(0)
    assert len(site.route.jobs) == 1
    site.store.sick = False
    await lanes.idle()
    await lanes.drain()
    assert await site.states(first) == [State.DELIVERED]
    assert await site.states(second) == [State.DELIVERED]
    assert len(site.route.jobs) == 2


async def test_outcomes_are_recorded_together(site: Site) -> None:
    site.route.gate.clear()
    claims = [await site.accept("b@partner.example", owner="w1") for _ in range(10)]
    lanes = site.lanes()
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    while site.route.running < 10:  # noqa: ASYNC110
        await asyncio.sleep(0)
    site.route.gate.set()
    await lanes.idle()
    await lanes.drain()
    assert site.store.settle_calls < 5


async def test_after_a_lost_lease_nothing_is_ours(site: Site) -> None:
    site.route.gate.clear()
    claimed = await site.accept("b@partner.example", owner="w1")
    lanes = site.lanes()
    await lanes.start()
    lanes.offer(claimed)
    await site.route.entered.wait()
    job = site.route.jobs[0]
    assert job.still_mine()
    site.clock.booted += 31
    assert not job.still_mine()
    site.route.gate.set()
    await lanes.idle()
    await lanes.drain()


async def test_what_another_worker_took_over_is_not_recorded_twice(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1")
    site.route.answer = NEVER
    site.route.gate.clear()
    lanes = site.lanes()
    await lanes.start()
    lanes.offer(claimed)
    await site.route.entered.wait()
    await site.store.free("w1")
    await site.store.claim("w2", site.clock.now(), 10, site.clock.now() + 60)
    site.route.gate.set()
    await lanes.idle()
    await lanes.drain()
    delivery = await site.delivery(claimed)
    assert (delivery.state, delivery.owner) == (State.QUEUED, "w2")
    assert await site.store.next_due(site.clock.now()) is None  # the report doesn't exist either


async def test_draining_finishes_what_runs_and_gives_back_the_rest(site: Site) -> None:
    site.route.gate.clear()
    claims = [await site.accept("b@partner.example", owner="w1") for _ in range(5)]
    lanes = site.lanes(connections_per_next_hop=1)
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    await site.route.entered.wait()
    draining = asyncio.create_task(lanes.drain())
    await asyncio.sleep(0)
    site.route.gate.set()
    await draining
    states = [await site.delivery(c) for c in claims]
    assert [d.state for d in states].count(State.DELIVERED) == 1
    assert {(d.owner, d.next_attempt, d.attempts) for d in states if d.state is State.QUEUED} == {(None, START, 0)}
    assert site.route.closed


async def test_an_undecided_delivery_is_judged_again_and_then_goes_out(site: Site) -> None:
    claimed = await site.accept("b@partner.example", state=State.UNDECIDED, route="", target="")

    def decide(claim: Claimed) -> list[Settlement]:
        return [
            Settlement(
                message_id=d.message_id,
                number=d.number,
                generation=d.generation,
                state=State.QUEUED,
                next_attempt=site.clock.now(),
                route="mailbox",
                target="box",
            )
            for d in claim.deliveries
        ]

    site.rejudged = decide
    await run_until_idle(site, site.lanes())
    assert await site.states(claimed) == [State.DELIVERED]
    assert len(site.mailbox.jobs) == 1


@pytest.mark.parametrize(
    ("state", "reply", "expected", "reports"),
    [
        (State.UNDECIDED, "451 4.4.3 DNS is slow", State.UNDECIDED, 0),
        (State.FAILED, "550 5.7.1 not allowed", State.FAILED, 1),
    ],
)
async def test_what_stays_undecided_waits_and_what_is_refused_is_reported(
    site: Site, state: State, reply: str, expected: State, reports: int
) -> None:
    claimed = await site.accept("b@partner.example", state=State.UNDECIDED, route="", target="")
    site.rejudged = lambda claim: [
        Settlement(message_id=d.message_id, number=d.number, generation=d.generation, state=state, last_reply=reply)
        for d in claim.deliveries
    ]
    await run_until_idle(site, site.lanes())
    delivery = await site.delivery(claimed)
    assert (delivery.state, delivery.last_reply) == (expected, reply)
    assert len(site.reporter.reports) == reports
    assert expected is State.FAILED or delivery.next_attempt == START + 60


async def test_new_routes_take_over_and_old_ones_close(site: Site) -> None:
    from tests.kit.lanes import FakeRoute

    lanes = site.lanes()
    await lanes.start()
    new = FakeRoute()
    lanes.reload(site.settings, {"relay": new, "mailbox": site.mailbox})
    lanes.offer(await site.accept("b@partner.example", owner="w1"))
    await lanes.idle()
    await lanes.drain()
    assert len(new.jobs) == 1
    assert site.route.jobs == []
    assert site.route.closed


async def test_what_is_ours_without_our_knowing_is_freed(site: Site) -> None:
    """The store committed it, but the worker never heard so and never offered it."""
    stray = await site.accept("b@partner.example", owner="w1")
    site.clock.forward(3600)
    young = await site.accept("c@partner.example", owner="w1")
    lanes = site.lanes(lease=timedelta(milliseconds=40))
    await lanes.start()
    while await site.states(stray) != [State.DELIVERED]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert (await site.delivery(young)).owner == "w1"
    await lanes.drain()


async def test_an_outcome_that_cannot_be_recorded_waits_for_an_operator_and_spoils_no_other(site: Site) -> None:
    site.route.operations = {"bad@partner.example": (("there_is_no_such_operation", {}),)}
    site.route.gate.clear()
    claims = [await site.accept(f"{name}@partner.example", owner="w1") for name in ("a", "bad", "c")]
    lanes = site.lanes()
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    while site.route.running < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    site.route.gate.set()
    await lanes.idle()
    await lanes.drain()
    assert [await site.states(c) for c in claims] == [[State.DELIVERED], [State.HELD], [State.DELIVERED]]


async def test_a_report_that_cannot_be_stored_now_holds_up_no_other_outcome(site: Site) -> None:
    site.route.by_recipient = {
        "gone@partner.example": (Result.FAILED, "5.1.1", "550 5.1.1 gone"),
        "lost@partner.example": (Result.FAILED, "5.1.1", "550 5.1.1 lost"),
    }
    claims = [await site.accept(f"{name}@partner.example", owner="w1") for name in ("a", "gone", "lost", "c")]
    keyless, report = claims[1].message.id, site.reporter.report
    healed = asyncio.Event()

    async def without_key(message: Message, *rest: Any) -> NewMessage | None:
        if message.id == keyless and not healed.is_set():
            raise StoreUnavailable("the key for a message of our own can't be had")
        made: NewMessage | None = await report(message, *rest)
        return made

    site.reporter.report = without_key
    lanes = site.lanes()
    await lanes.start()
    for claimed in claims:
        lanes.offer(claimed)
    others = [claims[0], claims[2], claims[3]]
    done = [[State.DELIVERED], [State.FAILED], [State.DELIVERED]]
    while [await site.states(c) for c in others] != done:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await site.states(claims[1]) == [State.QUEUED]
    healed.set()
    await lanes.idle()
    assert await site.states(claims[1]) == [State.FAILED]
    assert sorted(identity for identity, _ in site.reporter.reports) == sorted(c.message.id for c in claims[1:3])
    await lanes.drain()
