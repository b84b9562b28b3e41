"""What a resolver, or whoever stands behind it, may answer to do harm: each has a named end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relayd.dns.hosts import look_at_host
from relayd.dns.records import Answer, MailHosts, Records
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import Domain
from tests.kit.lying_dns import LyingDns, Reply

ORG = Domain("example.org")


@pytest.fixture
async def server() -> AsyncIterator[LyingDns]:
    async with LyingDns() as server:
        yield server


@pytest.fixture
def resolver(server: LyingDns) -> DnsResolver:
    return DnsResolver("127.0.0.1", server.port, timeout=10)


@pytest.mark.parametrize(
    ("records", "hosts"),
    [
        pytest.param(["10 mx\\000.example.org."], (), id="a NUL"),
        pytest.param(["10 mx\\010.example.org.", "20 mx.example.org."], ("mx.example.org",), id="a line end"),
        pytest.param(["10 mx\\032a.example.org."], (), id="a space"),
        pytest.param(["10 a\\.b.example.org."], (), id="a dot inside a label"),
        pytest.param(["10 \\195\\169.example.org."], (), id="octets beyond ASCII"),
        pytest.param(["10 \\027[31m.example.org."], (), id="an escape sequence"),
        pytest.param(["0 .", "10 mx.example.org."], ("mx.example.org",), id="a null MX beside another"),
    ],
)
async def test_hosts_whose_names_could_not_be_a_hosts_are_left_out(
    server: LyingDns, resolver: DnsResolver, records: list[str], hosts: tuple[str, ...]
) -> None:
    server.say(ORG, "MX", Reply(records))
    assert await resolver.mail_hosts(ORG) == MailHosts(Answer.FOUND, hosts, canonical="example.org")


async def test_thousands_of_mail_hosts(server: LyingDns, resolver: DnsResolver) -> None:
    server.say(ORG, "MX", Reply([f"{n} mx{n}.example.org." for n in range(2000)]))
    found = await resolver.mail_hosts(ORG)
    assert found.hosts[:2] == ("mx0.example.org", "mx1.example.org")
    assert len(found.hosts) == 2000


async def test_a_huge_text(server: LyingDns, resolver: DnsResolver) -> None:
    server.say(ORG, "TXT", Reply([" ".join(['"' + "x" * 255 + '"'] * 240)]))
    (text,) = (await resolver.texts(ORG)).values
    assert len(text) == 255 * 240


async def test_a_huge_answer_is_not_kept(server: LyingDns, resolver: DnsResolver) -> None:
    server.say("usual.example.org", "TXT", Reply(['"v=spf1 -all"', '"' + "x" * 255 + '"']))
    server.say("huge.example.org", "TXT", Reply([f'"{n}"' for n in range(1000)]))
    for name, asked in (("usual.example.org", 1), ("huge.example.org", 4)):  # 4: twice by UDP, and then by TCP
        first, second = await resolver.texts(name), await resolver.texts(name)
        assert set(first.values) == set(second.values) != set()
        assert server.asked.count((f"{name}.", "TXT")) == asked


async def test_the_order_of_tlsa_records_is_always_the_same(server: LyingDns, resolver: DnsResolver) -> None:
    name, records = "_25._tcp.mx.example.org", [f"3 1 1 {number:064x}" for number in range(8)]
    server.say(name, "TLSA", Reply(records))
    assert [str(one) for one in (await resolver.tlsa(name)).values] == records  # the server mixes them


@pytest.mark.parametrize("kind", ["A", "MX", "TXT", "TLSA"])
async def test_a_name_that_is_its_own_alias(server: LyingDns, resolver: DnsResolver, kind: str) -> None:
    server.say("loop.example.org", kind, Reply(alias="loop.example.org."))
    found = await resolver.look_up("loop.example.org", kind)
    assert (found.answer, found.values) == (Answer.FAILED, ()) or found.answer is Answer.NO_DATA


async def test_a_name_behind_an_alias_that_is_no_host_name_is_no_tlsa_base(
    server: LyingDns, resolver: DnsResolver
) -> None:
    server.say("mx.example.org", "A", Reply(["192.0.2.1"], alias="a\\000b.example.net.", secure=True))
    server.say("mx.example.org", "AAAA", Reply(alias="a\\000b.example.net.", secure=True))
    server.say("_25._tcp.mx.example.org", "TLSA", Reply(secure=True))
    facts = await look_at_host(resolver, "mx.example.org", 25)
    assert facts.base == "mx.example.org"
    assert ("_25._tcp.mx.example.org.", "TLSA") in server.asked


@pytest.mark.parametrize(
    "name", ["x" * 64 + ".example.org", "a..example.org", ".".join(["a" * 63] * 5), "\udcff.example"]
)
async def test_a_name_that_cannot_be_asked_for(resolver: DnsResolver, name: str) -> None:
    assert (await resolver.look_up(name, "A")).answer is Answer.FAILED


async def test_the_word_of_a_resolver_elsewhere_counts_for_nothing(server: LyingDns) -> None:
    server.say("mx.example.org", "A", Reply(["192.0.2.1"], secure=True))
    near = DnsResolver("127.0.0.1", server.port, timeout=1)
    assert (await near.look_up("mx.example.org", "A")).secure
    # 0.0.0.0 reaches this machine too, but nobody would know.
    far = DnsResolver("0.0.0.0", server.port, timeout=1)
    assert not (await far.look_up("mx.example.org", "A")).secure


async def test_a_forged_answer_is_told_from_one_that_could_not_be_had(server: LyingDns, resolver: DnsResolver) -> None:
    server.say("away.example.org", "A", Reply(failed=True))
    server.say("forged.example.org", "A", Reply(["192.0.2.66"], failed=True))
    assert await resolver.look_up("away.example.org", "A") == Records(Answer.FAILED)
    assert await resolver.look_up("forged.example.org", "A") == Records(Answer.BOGUS)
    server.say("forged.example.org", "TLSA", Reply([SOUND], failed=True))
    assert await resolver.tlsa("forged.example.org") == Records(Answer.BOGUS)


async def test_who_asks_the_same_waits_for_one_answer(server: LyingDns, resolver: DnsResolver) -> None:
    server.say("mx.example.org", "A", Reply(["192.0.2.1"]))
    server.open.clear()
    asking = [asyncio.create_task(resolver.look_up("MX.example.org.", "A")) for _ in range(20)]
    await server.was_asked.wait()
    server.open.set()
    assert {(await one).values for one in asking} == {("192.0.2.1",)}
    assert server.asked == [("mx.example.org.", "A")]


async def test_who_gives_up_takes_the_answer_from_nobody(server: LyingDns, resolver: DnsResolver) -> None:
    server.say("mx.example.org", "A", Reply(["192.0.2.1"]))
    server.open.clear()
    impatient = asyncio.create_task(resolver.look_up("mx.example.org", "A"))
    await server.was_asked.wait()
    patient = asyncio.create_task(resolver.look_up("mx.example.org", "A"))
    await asyncio.sleep(0)
    impatient.cancel()
    server.open.set()
    assert (await patient).values == ("192.0.2.1",)
    assert impatient.cancelled()
    assert len(server.asked) == 1


SOUND, SHORT = "3 1 1 " + "ab" * 32, "raw 030101abcd"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        pytest.param([SOUND], [SOUND], id="sound"),
        pytest.param([SHORT], ["255 255 255 "], id="a digest of the wrong length"),
        pytest.param([SOUND, SHORT], ["255 255 255 ", SOUND], id="beside a sound one"),
        pytest.param(["raw 03"], ["255 255 255 "], id="an octet"),
        pytest.param([f"3 1 {n} {'ab' * 32}" for n in (1, 9)], [SOUND, f"3 1 9 {'ab' * 32}"], id="an unknown kind"),
    ],
)
async def test_tlsa_records_that_cannot_be_parsed_leave_the_sound_ones(
    server: LyingDns, resolver: DnsResolver, records: list[str], found: list[str]
) -> None:
    server.say("_25._tcp.mx.example.org", "TLSA", Reply(records, secure=True))
    answer = await resolver.tlsa("_25._tcp.mx.example.org")
    assert (answer.answer, answer.secure) == (Answer.FOUND, True)
    assert sorted(map(str, answer.values)) == found


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(Reply(secure=True), Answer.NO_DATA), (Reply(failed=True), Answer.FAILED), (None, Answer.NO_NAME)],
)
async def test_tlsa_records_that_are_not_there(
    server: LyingDns, resolver: DnsResolver, reply: Reply | None, expected: Answer
) -> None:
    if reply is not None:
        server.say("_25._tcp.mx.example.org", "TLSA", reply)
    assert (await resolver.tlsa("_25._tcp.mx.example.org")).answer is expected
