"""What a next hop may do wrong, command by command, and what becomes of the message: lanes, store and route are real.

A try that fails is in the journal with its status, and once the next hop is well the message arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from relayd.delivery.client import Timeouts
from relayd.delivery.pool import Pool
from relayd.delivery.relay import RelayRoute
from relayd.delivery.ways import Ways
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import Domain
from relayd.settings.models import NoticeSettings
from relayd.store.records import Claimed
from relayd.tls.contexts import ClientTls
from tests.kit.lanes import Site, open_site
from tests.kit.matrix import Matrix
from tests.kit.peer import DRIBBLE, DROP, ENDLESS, GARBAGE, HANG, OVERLONG, Peer, Script, deaf_port, server_context

NEXT_HOPS = "Next hops"
PARTNER = Domain("partner.example")
#: Seconds. Who hangs is to be left soon here; nothing is measured.
QUICK = Timeouts(connect=0.3, greeting=0.3, command=0.3, data=0.3, block=0.3, final_dot=0.3)
PATIENT = Timeouts(connect=20, greeting=20, command=20, data=20, block=20, final_dot=20)
RETRY = 61.0
LARGE = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 300_000

WORDS = {
    DROP: "closes the connection",
    HANG: "says nothing",
    ENDLESS: "endless lines",
    OVERLONG: "a line of a megabyte",
    DRIBBLE: "one octet at a time, without an end",
    GARBAGE: "no SMTP at all",
}
PLACES = {
    "GREETING": "greeting",
    "EHLO": "EHLO",
    "STARTTLS": "STARTTLS",
    "MAIL": "MAIL",
    "RCPT": "RCPT",
    "DATA": "DATA",
    "DOT": "after the final dot",
}


@dataclass(frozen=True)
class Fault:
    """What the peer says at ``verb``, and what the journal then says: "deferred 4.4.1"."""

    verb: str
    reply: str
    journal: str

    def __str__(self) -> str:
        return f"{self.verb}-{WORDS.get(self.reply, self.reply[:9])}".replace(" ", "_").replace("\n", "_")


def _deferred(reply: str, **statuses: str) -> list[Fault]:
    return [Fault(verb, reply, f"deferred {status}") for verb, status in statuses.items()]


_BEFORE_MAIL = {"GREETING": "4.4.1", "EHLO": "4.4.1", "STARTTLS": "4.4.1"}
_BEFORE_DOT = {"MAIL": "4.4.2", "RCPT": "4.4.2", "DATA": "4.4.2"}
FAULTS = [
    *(fault for reply in (DROP, HANG) for fault in _deferred(reply, **_BEFORE_MAIL, **_BEFORE_DOT)),
    *(
        fault
        for reply in (ENDLESS, OVERLONG, DRIBBLE, GARBAGE)
        for fault in _deferred(reply, GREETING="4.4.1", EHLO="4.4.1", MAIL="4.4.2", RCPT="4.4.2", DATA="4.4.2")
    ),
    *(Fault("DOT", reply, "ambiguous 4.4.2") for reply in (DROP, HANG, ENDLESS, OVERLONG, DRIBBLE, GARBAGE)),
    *_deferred("421 4.3.2 busy", GREETING="4.3.2", EHLO="4.3.2", STARTTLS="4.7.10", MAIL="4.4.2", RCPT="4.3.2"),
    *_deferred("421 4.3.2 busy", DATA="4.3.2", DOT="4.3.2"),
    *_deferred("451 4.7.1 later", MAIL="4.7.1", RCPT="4.7.1", DATA="4.7.1", DOT="4.7.1"),
    *(Fault(verb, "550 5.7.1 never", "failed 5.7.1") for verb in ("MAIL", "RCPT", "DATA", "DOT")),
    *_deferred("250 2.0.0 ok\n250 2.0.0 and one that nobody asked for", MAIL="4.0.0", RCPT="4.0.0", DATA="4.0.0"),
    *_deferred("220 peer.example\n250 ok", GREETING="4.4.1", STARTTLS="4.7.10"),
]


@dataclass
class Bench:
    """Lanes with a real route towards ``peer``; reports and notices go to ``other``."""

    site: Site
    peer: Peer
    other: Peer
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def first_try(self, *recipients: str, content: bytes = b"Subject: x\r\n\r\nbody\r\n") -> Claimed:
        """Accept a message, and wait until the first try of it is recorded."""
        claimed = await self.site.accept(*recipients, content=content, owner="w1")
        self.lanes.offer(claimed)
        await self.settled()
        return claimed

    async def next_try(self) -> None:
        self.site.clock.forward(RETRY)
        await self.settled()

    async def settled(self) -> None:
        """Until nothing is due and nobody works on anything."""
        while self.site.busy():
            self.lanes.wake()
            await asyncio.sleep(0.005)

    async def journal(self, claimed: Claimed) -> list[str]:
        """Kind and status of all that happened."""
        events = await self.site.store.journal(claimed.message.id)
        return [" ".join(filter(None, (event.kind, event.facts.get("status", "")))) for event in events]

    async def start(self, timeouts: Timeouts, ca_file: Path, port: int = 0) -> None:
        names = ("peer.example",)
        book = {
            PARTNER: DomainEntry(
                PARTNER,
                Delivers.RELAY,
                next_hops=(f"127.0.0.1:{port or self.peer.port}",),
                tls_names=names,
                ca_file=str(ca_file),
            )
        }
        resolver = DnsResolver()
        pool = Pool("relay.example", ClientTls(), resolver, per_hop=2, total=20, idle=30.0, timeouts=timeouts)
        notices = NoticeSettings(smarthost=f"127.0.0.1:{self.other.port}")
        ways = Ways(Directory({}, book, {}, {}, {}), resolver, notices, "relay.example")
        self.site.route = RelayRoute(ways, pool)  # type: ignore[assignment]
        self.lanes = self.site.lanes()
        await self.lanes.start()
        self.stack.push_async_callback(self.lanes.drain)


@pytest.fixture
async def bench(tmp_path: Path, ca: trustme.CA) -> AsyncIterator[Bench]:
    async with (
        open_site(tmp_path, Directory({}, {}, {}, {}, {})) as site,
        Peer(tls=server_context(ca)) as peer,
        Peer(tls=server_context(ca)) as other,
    ):
        bench = Bench(site, peer, other)
        async with bench.stack:
            yield bench


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_fault_is_written_down_and_the_next_try_arrives(
    bench: Bench, ca_file: Path, matrix: Matrix, fault: Fault
) -> None:
    bench.peer.script = Script(replies={fault.verb: fault.reply})
    await bench.start(QUICK if fault.reply in (HANG, DRIBBLE) else PATIENT, ca_file)
    claimed = await bench.first_try("b@partner.example")
    first = await bench.journal(claimed)
    failed = fault.journal.startswith("failed")
    assert first == ([fault.journal, "reported"] if failed else [fault.journal])
    taken = len(bench.peer.received)
    assert taken == (fault.verb == "DOT")
    bench.peer.script = Script()
    await bench.next_try()
    after = await bench.journal(claimed)
    assert after == (first if failed else [*first, "delivered 2.0.0"])
    twice = not failed and taken and "ambiguous" in first[0]
    matrix.row(
        NEXT_HOPS,
        PLACES[fault.verb],
        WORDS.get(fault.reply, fault.reply.replace("\n", ", ")),
        client_saw="250; a report" if failed else "250",
        journal_says=", ".join(after),
        recovered="-" if failed else "at the next try" + ("; it may have come twice" if twice else ""),
    )


@pytest.mark.parametrize("fault", ["refuses", "doesn't answer"])
async def test_without_a_connection(bench: Bench, ca_file: Path, matrix: Matrix, fault: str) -> None:
    async with AsyncExitStack() as stack:
        port = stack.enter_context(deaf_port())
        if fault == "refuses":
            await stack.aclose()
        await bench.start(QUICK, ca_file, port)
        claimed = await bench.first_try("b@partner.example")
    assert await bench.journal(claimed) == ["deferred 4.4.1"]
    async with Peer(port=port, tls=bench.peer.tls):
        await bench.next_try()
    after = await bench.journal(claimed)
    assert after == ["deferred 4.4.1", "delivered 2.0.0"]
    matrix.row(
        NEXT_HOPS, "connect", fault, client_saw="250", journal_says=", ".join(after), recovered="at the next try"
    )


async def test_each_recipient_has_an_end_of_its_own(bench: Bench, ca_file: Path, matrix: Matrix) -> None:
    bench.peer.script = Script(
        recipients={"later@partner.example": "450 4.2.1 later", "nobody@partner.example": "550 5.1.1 nobody"}
    )
    await bench.start(PATIENT, ca_file)
    claimed = await bench.first_try("b@partner.example", "later@partner.example", "nobody@partner.example")
    assert sorted(await bench.journal(claimed)) == ["deferred 4.2.1", "delivered 2.0.0", "failed 5.1.1", "reported"]
    bench.peer.script.recipients.clear()
    await bench.next_try()
    assert [len(message.rcpts) for message in bench.peer.received] == [1, 1]
    after = await bench.journal(claimed)
    assert after[-1] == "delivered 2.0.0"
    matrix.row(
        NEXT_HOPS,
        "RCPT",
        "250, 450 and 550 to three recipients",
        client_saw="250; a report on the third",
        journal_says="delivered 2.0.0; deferred 4.2.1, delivered 2.0.0; failed 5.1.1, reported",
        recovered="the second at the next try, the first not again",
    )


MIDWAY = {
    "stops reading": (Script(stall_in_data=True), "deferred 4.4.2", QUICK),
    "552 5.3.4 while the data goes out": (Script(refuse_in_data="552 5.3.4 too big"), "failed 5.3.4", PATIENT),
    "451 4.3.1 while the data goes out": (Script(refuse_in_data="451 4.3.1 full"), "deferred 4.3.1", PATIENT),
}


@pytest.mark.parametrize("fault", MIDWAY)
async def test_in_the_middle_of_the_data(bench: Bench, ca_file: Path, matrix: Matrix, fault: str) -> None:
    bench.peer.script, expected, timeouts = MIDWAY[fault]
    await bench.start(timeouts, ca_file)
    claimed = await bench.first_try("b@partner.example", content=LARGE)
    failed = expected.startswith("failed")
    first = await bench.journal(claimed)
    assert first == ([expected, "reported"] if failed else [expected])
    assert bench.peer.received == []
    bench.peer.script = Script()
    await bench.next_try()
    after = await bench.journal(claimed)
    assert after == (first if failed else [expected, "delivered 2.0.0"])
    matrix.row(
        NEXT_HOPS,
        "in the middle of the data",
        fault,
        client_saw="250; a report" if failed else "250",
        journal_says=", ".join(after),
        recovered="-" if failed else "at the next try",
    )


@pytest.mark.parametrize("fault", ["another name", "an authority that nobody knows"])
async def test_a_certificate_that_changes_midway(
    bench: Bench, ca: trustme.CA, ca_file: Path, matrix: Matrix, fault: str
) -> None:
    await bench.start(PATIENT, ca_file)
    await bench.first_try("b@partner.example")
    good = bench.peer.tls
    bench.peer.tls = server_context(ca, "evil.example") if fault == "another name" else server_context(trustme.CA())
    # The connection from before is still proven; only a new one shows the new certificate.
    bench.peer.script = Script(replies={"MAIL": [DROP, "250 2.1.0 ok"]})
    claimed = await bench.first_try("c@partner.example")
    assert await bench.journal(claimed) == ["deferred 4.7.5"]
    assert len(bench.peer.received) == 1
    bench.peer.tls = good
    await bench.next_try()
    after = await bench.journal(claimed)
    assert after == ["deferred 4.7.5", "delivered 2.0.0"]
    matrix.row(
        NEXT_HOPS,
        "STARTTLS of a second connection",
        f"a certificate of {fault}",
        client_saw="250",
        journal_says=", ".join(after),
        recovered="at the next try; nothing went out meanwhile",
    )


async def test_slow_is_not_broken(bench: Bench, ca_file: Path, matrix: Matrix) -> None:
    bench.peer.script = Script(octet_by_octet=True)
    await bench.start(PATIENT, ca_file)
    claimed = await bench.first_try("b@partner.example")
    after = await bench.journal(claimed)
    assert after == ["delivered 2.0.0"]
    matrix.row(
        NEXT_HOPS,
        "every reply",
        "comes in single octets",
        client_saw="250",
        journal_says=", ".join(after),
        recovered="not needed",
    )
