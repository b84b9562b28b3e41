"""Copies are made anew once, whoever tries and dies; what can't be made goes out as it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayd.daemon.deriving import Deriving
from relayd.directory.directory import Directory
from relayd.mail.meta import HeaderPatch, MessageMeta, Transformation
from relayd.mail.mime import MimeScanner
from relayd.mail.remade import NewPart
from relayd.queue.outcome import Result
from relayd.queue.scheduler import Lanes
from relayd.rendering.renderer import NotAnswered, NotRendered
from relayd.rendering.wire import Leaf, Remade
from relayd.store.records import Claimed, State
from tests.kit.lanes import Site, open_site

MAIL = (
    b"From: lab@hospital.example\r\nTo: b@partner.example\r\nSubject: Uitslag\r\n"
    b"Content-Type: application/edifact; name=x.edi\r\nContent-Transfer-Encoding: base64\r\n\r\nVU5C\r\n"
)
BY = Transformation("edi", (("form", "html"),), ("",))
PAGE = Remade((NewPart("text/html; charset=utf-8", b"<p>made anew</p>"),), facts={"recognised": ["MEDLAB 1"]})


@dataclass
class ToldRenderer:
    """Answers with ``answer``, or with what it raises."""

    answer: Remade | Exception = PAGE
    asked: list[tuple[Leaf, ...]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def __post_init__(self) -> None:
        self.gate.set()

    async def remake(self, transform: str, options: dict[str, str], leaves: tuple[Leaf, ...]) -> Remade:
        self.asked.append(leaves)
        self.came.release()
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, Directory({}, {}, {}, {}, {})) as site:
        yield site


@pytest.fixture
def renderer() -> ToldRenderer:
    return ToldRenderer()


def lanes_with(site: Site, renderer: ToldRenderer, **settings: Any) -> Lanes:
    services = SimpleNamespace(
        in_force=SimpleNamespace(signers={}), store=site.store, vault=site.vault, blobs=site.blobs, clock=site.clock
    )
    return site.lanes(derive=Deriving(services, renderer), **settings)  # type: ignore[arg-type]


async def accepted(site: Site, *recipients: str, content: bytes = MAIL) -> Claimed:
    scanner = MimeScanner()
    scanner.feed(content)
    patch = HeaderPatch(put=b"Received: x\r\n")

    def meta(head_length: int) -> MessageMeta:
        return MessageMeta(head_length, scanner.finish(), (patch,), {0: BY})

    return await site.accept(*(recipients or ("b@partner.example",)), content=content, meta=meta)


async def delivered(site: Site, lanes: Lanes) -> None:
    await lanes.start()
    while site.busy():
        lanes.wake()
        await asyncio.sleep(0.001)
    await lanes.idle()
    await lanes.drain()


async def test_what_goes_out_is_the_copy_with_the_original_in_it(site: Site, renderer: ToldRenderer) -> None:
    claimed = await accepted(site)
    await delivered(site, lanes_with(site, renderer))
    mail = message_from_bytes(site.route.contents[0], policy=policy.default)
    page, original = mail.iter_parts()  # type: ignore[attr-defined]
    assert mail["Subject"] == "Uitslag"
    assert mail.keys()[0] == "Received"
    assert "made anew" in page.get_content()
    assert (original.get_filename(), original.get_payload(decode=True)) == ("x.edi", b"UNB")
    assert renderer.asked == [(Leaf(b"UNB", "x.edi", ""),)]
    events = await site.store.journal(claimed.message.id)
    assert [event.kind for event in events] == ["transformed", "delivered"]
    assert events[0].facts == {"transform": "edi", "form": "html", "recognised": ["MEDLAB 1"]}


async def test_every_try_sends_the_same_octets(site: Site, renderer: ToldRenderer) -> None:
    site.route.answer = (Result.DEFERRED, "4.2.1", "450 4.2.1 later")
    await accepted(site)
    await delivered(site, lanes_with(site, renderer))
    site.clock.forward(120)
    await delivered(site, lanes_with(site, renderer))
    first, second = site.route.contents
    assert first == second
    assert len(renderer.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NotRendered("it can't be rendered: ValueError"), "it can't be rendered: ValueError"),
        (ZeroDivisionError("patient Jansen"), "ZeroDivisionError"),
        (Remade(facts={"reason": "no EDI"}), "no EDI"),
    ],
)
async def test_what_cant_be_made_goes_out_as_it_came(
    site: Site, renderer: ToldRenderer, answer: Any, reason: str
) -> None:
    renderer.answer = answer
    claimed = await accepted(site)
    await delivered(site, lanes_with(site, renderer))
    assert site.route.contents == [b"Received: x\r\n" + MAIL]
    assert await site.states(claimed) == [State.DELIVERED]
    event = (await site.store.journal(claimed.message.id))[0]
    assert (event.kind, event.facts["reason"]) == ("not-transformed", reason)


async def test_a_child_that_died_is_tried_again_later(site: Site, renderer: ToldRenderer) -> None:
    claimed = await accepted(site)
    renderer.answer = NotAnswered("it died")
    await delivered(site, lanes_with(site, renderer))
    assert (await site.states(claimed), site.route.contents) == ([State.QUEUED], [])
    renderer.answer = PAGE
    site.clock.forward(120)
    await delivered(site, lanes_with(site, renderer))
    assert b"made anew" in site.route.contents[0]


async def test_content_that_every_child_dies_over_goes_out_as_it_came(site: Site, renderer: ToldRenderer) -> None:
    claimed = await accepted(site)
    renderer.answer = NotAnswered("it died")
    for _ in range(3):
        await delivered(site, lanes_with(site, renderer))
        site.clock.forward(600)
    assert site.route.contents == [b"Received: x\r\n" + MAIL]
    assert len(renderer.asked) == 3
    assert "not-transformed" in await site.kinds(claimed)


async def test_a_sick_store_loses_nothing_and_the_copy_is_made_when_it_is_well(
    site: Site, renderer: ToldRenderer
) -> None:
    claimed = await accepted(site)
    renderer.gate.clear()
    lanes = lanes_with(site, renderer)
    await lanes.start()
    lanes.wake()
    await renderer.came.acquire()
    site.store.sick = True
    renderer.gate.set()
    await site.store.settled.wait()
    site.store.sick = False
    await lanes.idle()
    await lanes.drain()
    assert await site.states(claimed) == [State.QUEUED]
    site.clock.forward(120)
    await delivered(site, lanes_with(site, renderer))
    assert await site.states(claimed) == [State.DELIVERED]
    assert b"made anew" in site.route.contents[0]


async def test_many_copies_at_once_leave_the_lanes_to_other_mail(site: Site, renderer: ToldRenderer) -> None:
    for number in range(20):
        await accepted(site, f"b@partner{number}.example")
    plain = await site.accept("c@partner.example")
    renderer.gate.clear()
    lanes = lanes_with(site, renderer, concurrency=12)
    await lanes.start()
    while await site.states(plain) != [State.DELIVERED]:
        lanes.wake()
        await asyncio.sleep(0.001)
    renderer.gate.set()
    await lanes.idle()
    await lanes.drain()
    for _ in range(6):
        site.clock.forward(5)
        await delivered(site, lanes_with(site, renderer))
    assert len(site.route.contents) == 21
    assert sum(b"made anew" in one for one in site.route.contents) == 20


async def test_two_workers_that_make_the_same_copy_send_the_same(site: Site, renderer: ToldRenderer) -> None:
    claimed = await accepted(site, "b@partner.example", "c@other.example")
    renderer.gate.clear()
    lanes = lanes_with(site, renderer)
    await lanes.start()
    lanes.wake()
    await renderer.came.acquire()
    await renderer.came.acquire()
    renderer.gate.set()
    await lanes.idle()
    await lanes.drain()
    assert len(set(site.route.contents)) == 1
    assert (await site.kinds(claimed)).count("transformed") == 1
