"""Every fault of a peer, and the outcome it must have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
from relayd.queue.outcome import Outcome, Result
from relayd.settings.models import NoticeSettings
from relayd.tls.certificate import spki_sha256
from relayd.tls.contexts import ClientTls
from tests.kit.jobs import CONTENT, Blocks, make_delivery, make_job, make_message
from tests.kit.peer import DROP, ENDLESS, GARBAGE, HANG, Peer, Script, server_context

PARTNER = Domain("partner.example")
QUICK = Timeouts(connect=2, greeting=0.3, command=0.3, data=0.3, block=0.3, final_dot=0.3)
PATIENT = Timeouts(connect=5, greeting=5, command=5, data=5, block=5, final_dot=5)


class Rig:
    """A route towards scripted peers."""

    def __init__(self, ca_file: Path) -> None:
        self._ca_file = ca_file
        self.route: RelayRoute | None = None

    def towards(self, *peers: Peer, timeouts: Timeouts = PATIENT, per_hop: int = 10, **entry: object) -> RelayRoute:
        facts: dict[str, object] = {
            "next_hops": tuple(f"127.0.0.1:{peer.port}" for peer in peers),
            "tls_names": ("peer.example",),
            "ca_file": str(self._ca_file),
        }
        book = {PARTNER: DomainEntry(PARTNER, Delivers.RELAY, **(facts | entry))}  # type: ignore[arg-type]
        directory = Directory({}, book, {}, {}, {})
        resolver = DnsResolver()
        pool = Pool("relay.example", ClientTls(), resolver, per_hop=per_hop, total=20, idle=30.0, timeouts=timeouts)
        self.route = RelayRoute(Ways(directory, resolver, NoticeSettings(), "relay.example"), pool)
        return self.route


@pytest.fixture
async def rig(ca_file: Path) -> AsyncIterator[Rig]:
    rig = Rig(ca_file)
    yield rig
    if rig.route is not None:
        await rig.route.close()


def summary(outcomes: list[Outcome]) -> list[tuple[Result, str]]:
    return [(outcome.result, outcome.status) for outcome in outcomes]


async def test_a_message_arrives_as_it_is_over_proven_tls(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]
    assert outcomes[0].tls is not None
    assert outcomes[0].tls.verified
    assert outcomes[0].tls.names == ("peer.example",)
    assert [m.content for m in peer.received] == [CONTENT]
    assert peer.received[0].tls == "TLSv1.3"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("content", [CONTENT, b".\r\n", b"a\r\n.\r\n.b\r\n\r\n..", b"no end", b"\r\n.\r\n" * 9, b"."])
async def test_content_survives_dot_stuffing_at_any_block_size(
    rig: Rig, ca: trustme.CA, content: bytes, block: int
) -> None:
    async with Peer(tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(content=Blocks(content, block)))
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]
    expected = content if content.endswith(b"\r\n") else content + b"\r\n"
    assert peer.received[0].content == expected


@pytest.mark.parametrize("extensions", [("PIPELINING", "DSN"), ("DSN",)], ids=["pipelining", "lockstep"])
@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"MAIL": "451 4.7.1 later"}, (Result.DEFERRED, "4.7.1")),
        ({"MAIL": "550 5.7.1 never"}, (Result.FAILED, "5.7.1")),
        ({"RCPT": "450 4.2.1 later"}, (Result.DEFERRED, "4.2.1")),
        ({"RCPT": "550 5.1.1 nobody"}, (Result.FAILED, "5.1.1")),
        ({"RCPT": "550 no enhanced code"}, (Result.FAILED, "5.0.0")),
        ({"DATA": "451 4.3.0 later"}, (Result.DEFERRED, "4.3.0")),
        ({"DATA": "554 5.5.1 no"}, (Result.FAILED, "5.5.1")),
        ({"DOT": "451 4.3.0 disk"}, (Result.DEFERRED, "4.3.0")),
        ({"DOT": "554 5.7.1 spam"}, (Result.FAILED, "5.7.1")),
        ({"DOT": "421 4.3.2 bye"}, (Result.DEFERRED, "4.3.2")),
        ({"GREETING": "421 4.3.2 busy"}, (Result.DEFERRED, "4.3.2")),
        ({"GREETING": "554 5.3.2 no mail here"}, (Result.DEFERRED, "4.3.2")),
        ({"EHLO": "421 4.3.2 busy"}, (Result.DEFERRED, "4.3.2")),
        ({"MAIL": "421 4.3.2 busy"}, (Result.DEFERRED, "4.4.2")),
        ({"STARTTLS": "454 4.7.0 no"}, (Result.DEFERRED, "4.7.10")),
        ({"GREETING": DROP}, (Result.DEFERRED, "4.4.1")),
        ({"EHLO": DROP}, (Result.DEFERRED, "4.4.1")),
        ({"STARTTLS": DROP}, (Result.DEFERRED, "4.4.1")),
        ({"MAIL": DROP}, (Result.DEFERRED, "4.4.2")),
        ({"RCPT": DROP}, (Result.DEFERRED, "4.4.2")),
        ({"DATA": DROP}, (Result.DEFERRED, "4.4.2")),
        ({"DOT": DROP}, (Result.AMBIGUOUS, "4.4.2")),
        ({"GREETING": HANG}, (Result.DEFERRED, "4.4.1")),
        ({"EHLO": HANG}, (Result.DEFERRED, "4.4.1")),
        ({"STARTTLS": HANG}, (Result.DEFERRED, "4.4.1")),
        ({"MAIL": HANG}, (Result.DEFERRED, "4.4.2")),
        ({"RCPT": HANG}, (Result.DEFERRED, "4.4.2")),
        ({"DATA": HANG}, (Result.DEFERRED, "4.4.2")),
        ({"DOT": HANG}, (Result.AMBIGUOUS, "4.4.2")),
        ({"GREETING": ENDLESS}, (Result.DEFERRED, "4.4.1")),
        ({"EHLO": ENDLESS}, (Result.DEFERRED, "4.4.1")),
        ({"MAIL": ENDLESS}, (Result.DEFERRED, "4.4.2")),
        ({"RCPT": ENDLESS}, (Result.DEFERRED, "4.4.2")),
        ({"DOT": ENDLESS}, (Result.AMBIGUOUS, "4.4.2")),
        ({"RCPT": GARBAGE}, (Result.DEFERRED, "4.4.2")),
        ({"DOT": GARBAGE}, (Result.AMBIGUOUS, "4.4.2")),
        ({"DOT": "354 more"}, (Result.AMBIGUOUS, "4.5.0")),
    ],
    ids=str,
)
async def test_fault_and_outcome(
    rig: Rig, ca: trustme.CA, extensions: tuple[str, ...], replies: dict[str, str], expected: tuple[Result, str]
) -> None:
    patience = QUICK if HANG in replies.values() else PATIENT
    async with Peer(Script(extensions=extensions, replies=dict(replies)), tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer, timeouts=patience).deliver(make_job())
    assert summary(outcomes) == [expected]
    assert "DOT" in replies or peer.received == []


@pytest.mark.parametrize("extensions", [("PIPELINING", "DSN"), ("DSN",)], ids=["pipelining", "lockstep"])
async def test_each_recipient_has_its_own_outcome(rig: Rig, ca: trustme.CA, extensions: tuple[str, ...]) -> None:
    script = Script(
        extensions=extensions,
        recipients={"no@partner.example": "550 5.1.1 nobody", "later@partner.example": "450 4.2.1 full"},
    )
    names = ["yes", "no", "later", "also"]
    deliveries = [make_delivery(i, f"{name}@partner.example") for i, name in enumerate(names)]
    async with Peer(script, tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(*deliveries))
    assert [o.number for o in outcomes] == [0, 1, 2, 3]
    assert summary(outcomes) == [
        (Result.DELIVERED, "2.0.0"),
        (Result.FAILED, "5.1.1"),
        (Result.DEFERRED, "4.2.1"),
        (Result.DELIVERED, "2.0.0"),
    ]
    assert peer.received[0].rcpts == ["RCPT TO:<yes@partner.example>", "RCPT TO:<also@partner.example>"]


async def test_recipients_beyond_the_peers_limit_go_in_a_transaction_of_their_own(rig: Rig, ca: trustme.CA) -> None:
    replies = ["250 2.1.5 ok", "452 4.5.3 too many", "250 2.1.5 ok"]
    deliveries = [make_delivery(i, f"p{i}@partner.example") for i in range(2)]
    async with Peer(Script(replies={"RCPT": list(replies)}), tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(*deliveries))
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")] * 2
    assert [len(m.rcpts) for m in peer.received] == [1, 1]
    assert peer.connections == 1


async def test_a_full_mailbox_is_no_limit_on_recipients(rig: Rig, ca: trustme.CA) -> None:
    script = Script(recipients={"full@partner.example": "452 4.2.2 mailbox full"})
    deliveries = [make_delivery(0, "full@partner.example"), make_delivery(1, "b@partner.example")]
    async with Peer(script, tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(*deliveries))
    assert summary(outcomes) == [(Result.DEFERRED, "4.2.2"), (Result.DELIVERED, "2.0.0")]
    assert len(peer.received) == 1


async def test_announced_recipient_limit_is_kept(rig: Rig, ca: trustme.CA) -> None:
    script = Script(extensions=("PIPELINING", "DSN", "LIMITS RCPTMAX=3"))
    deliveries = [make_delivery(i, f"p{i}@partner.example") for i in range(7)]
    async with Peer(script, tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(*deliveries))
    assert {o.result for o in outcomes} == {Result.DELIVERED}
    assert [len(m.rcpts) for m in peer.received] == [3, 3, 1]


async def test_no_starttls_means_no_mail(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(Script(starttls=False), tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.7.10")]
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_plain_text_only_where_the_domainbook_says_so(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(Script(starttls=False)) as peer:
        outcomes = await rig.towards(peer, insecure_plaintext=True).deliver(make_job())
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]
    assert outcomes[0].tls is None


@pytest.mark.parametrize("names", [("other.example",), ("example",), ("a.peer.example",), ("*.peer.example",)], ids=str)
async def test_a_certificate_for_another_name_means_no_mail(rig: Rig, ca: trustme.CA, names: tuple[str, ...]) -> None:
    async with Peer(tls=server_context(ca, *names)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.7.5")]
    assert f"its certificate names {names[0]}; asked for: " in outcomes[0].reply
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_a_certificate_of_an_unknown_ca_means_no_mail(rig: Rig) -> None:
    async with Peer(tls=server_context(trustme.CA())) as peer:
        outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.7.5")]
    assert not any(command.startswith("MAIL") for command in peer.commands)


@pytest.mark.parametrize("names", [("peer.example",), ("*.example.org", "127.0.0.1"), ("*.mail.example",)], ids=str)
async def test_any_of_the_names_asked_for_will_do(rig: Rig, ca: trustme.CA, names: tuple[str, ...]) -> None:
    asked = ("absent.example", "peer.example", "127.0.0.1", "mx.mail.example")
    async with Peer(tls=server_context(ca, *names)) as peer:
        outcomes = await rig.towards(peer, tls_names=asked).deliver(make_job())
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]


async def test_a_pin_stands_in_for_names_and_ca(rig: Rig) -> None:
    unknown = trustme.CA()
    certificate = unknown.issue_cert("whatever.example")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    pin = spki_sha256(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))
    async with Peer(tls=context) as peer:
        outcomes = await rig.towards(peer, pins=(pin,)).deliver(make_job())
        assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]
        await rig.route.close()  # type: ignore[union-attr]
        outcomes = await rig.towards(peer, pins=("00" * 32,)).deliver(make_job())
        assert summary(outcomes) == [(Result.DEFERRED, "4.7.5")]
        assert pin in outcomes[0].reply


async def test_octets_injected_before_tls_end_the_connection(rig: Rig, ca: trustme.CA) -> None:
    script = Script(inject_after_starttls=b"250-peer.example\r\n250 DSN\r\n")
    async with Peer(script, tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.7.10")]
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_the_second_next_hop_is_tried_when_the_first_is_away(rig: Rig, ca: trustme.CA) -> None:
    first, second = (
        Peer(Script(replies={"GREETING": "421 4.3.2 busy"}), tls=server_context(ca)),
        Peer(tls=server_context(ca)),
    )
    async with first, second:
        outcomes = await rig.towards(first, second).deliver(make_job())
    assert summary(outcomes) == [(Result.DELIVERED, "2.0.0")]
    assert outcomes[0].next_hop == f"127.0.0.1:{second.port}"


async def test_connections_are_used_again_and_stale_ones_replaced(rig: Rig, ca: trustme.CA) -> None:
    script = Script(replies={"MAIL": ["250 2.1.0 ok", "250 2.1.0 ok", "421 4.3.2 idle too long", "250 2.1.0 ok"]})
    async with Peer(script, tls=server_context(ca)) as peer:
        route = rig.towards(peer)
        for _ in range(3):
            assert summary(await route.deliver(make_job())) == [(Result.DELIVERED, "2.0.0")]
    assert peer.connections == 2
    assert len(peer.received) == 3
    assert "RSET" not in peer.commands


async def test_a_connection_that_the_peer_dropped_while_idle_is_replaced(rig: Rig, ca: trustme.CA) -> None:
    script = Script(replies={"MAIL": ["250 2.1.0 ok", DROP, "250 2.1.0 ok"]})
    async with Peer(script, tls=server_context(ca)) as peer:
        route = rig.towards(peer)
        for _ in range(2):
            assert summary(await route.deliver(make_job())) == [(Result.DELIVERED, "2.0.0")]
    assert peer.connections == 2


async def test_never_more_connections_than_the_cap(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(tls=server_context(ca)) as peer:
        route = rig.towards(peer, per_hop=2)
        outcomes = await asyncio.gather(*(route.deliver(make_job()) for _ in range(12)))
    assert all(summary(o) == [(Result.DELIVERED, "2.0.0")] for o in outcomes)
    assert peer.connections <= 2


async def test_after_a_lost_lease_nothing_is_finished(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(still_mine=lambda: False))
    assert summary(outcomes) == [(Result.DEFERRED, "4.3.0")]
    assert peer.received == []


async def test_a_refusal_in_the_midst_of_the_data_counts(rig: Rig, ca: trustme.CA) -> None:
    content = Blocks(b"x" * 70 + b"\r\n", 24)
    content.data *= 200_000
    content.block = 65536
    async with Peer(Script(refuse_in_data="552 5.3.4 too big"), tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer).deliver(make_job(content=content))
    assert summary(outcomes) == [(Result.FAILED, "5.3.4")]
    assert peer.received == []


async def test_a_peer_that_stops_reading_is_left(rig: Rig, ca: trustme.CA) -> None:
    content = Blocks((b"x" * 70 + b"\r\n") * 300_000, 262144)
    async with Peer(Script(stall_in_data=True), tls=server_context(ca)) as peer:
        outcomes = await rig.towards(peer, timeouts=QUICK).deliver(make_job(content=content))
    assert summary(outcomes) == [(Result.DEFERRED, "4.4.2")]


async def test_dsn_parameters_travel_verbatim_or_not_at_all(rig: Rig, ca: trustme.CA) -> None:
    message = make_message(ret="HDRS", envid="QQ+2B314")
    delivery = make_delivery(notify="FAILURE,SUCCESS", orcpt="rfc822;Bob+40Partner.example")
    async with Peer(tls=server_context(ca)) as dsn:
        outcomes = await rig.towards(dsn).deliver(make_job(delivery, message=message))
    assert outcomes[0].result is Result.DELIVERED
    assert dsn.received[0].mail.endswith(" RET=HDRS ENVID=QQ+2B314")
    assert dsn.received[0].rcpts[0].endswith(" NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;Bob+40Partner.example")
    await rig.route.close()  # type: ignore[union-attr]
    async with Peer(Script(extensions=("PIPELINING",)), tls=server_context(ca)) as plain:
        outcomes = await rig.towards(plain).deliver(make_job(delivery, message=message))
    assert outcomes[0].result is Result.RELAYED
    assert plain.received[0].mail == "MAIL FROM:<a@hospital.example>"
    assert plain.received[0].rcpts == ["RCPT TO:<b@partner.example>"]


@pytest.mark.parametrize(
    ("extensions", "message", "content", "expected"),
    [
        (("SIZE 10",), {}, CONTENT, (Result.FAILED, "5.3.4")),
        (("SIZE 0",), {}, CONTENT, (Result.RELAYED, "2.0.0")),
        ((), {"smtputf8": True}, "To: é\r\n\r\n".encode(), (Result.FAILED, "5.6.7")),
        ((), {"smtputf8": True}, "To: e\r\n\r\né\r\n".encode(), (Result.RELAYED, "2.0.0")),
        ((), {"smtputf8": True, "sender": "é@hospital.example"}, CONTENT, (Result.FAILED, "5.6.7")),
        (("SMTPUTF8",), {"smtputf8": True}, "To: é\r\n\r\n".encode(), (Result.RELAYED, "2.0.0")),
        ((), {"body_type": "8BITMIME"}, "\r\né\r\n".encode(), (Result.FAILED, "5.6.3")),
        ((), {"body_type": "8BITMIME"}, CONTENT, (Result.RELAYED, "2.0.0")),
        (("8BITMIME",), {"body_type": "8BITMIME"}, "\r\né\r\n".encode(), (Result.RELAYED, "2.0.0")),
    ],
    ids=str,
)
async def test_what_the_peer_cannot_take(
    rig: Rig, ca: trustme.CA, extensions: tuple[str, ...], message: dict[str, object], content: bytes, expected: object
) -> None:
    async with Peer(Script(extensions=extensions), tls=server_context(ca)) as peer:
        job = make_job(message=make_message(**message), content=Blocks(content))
        assert summary(await rig.towards(peer).deliver(job)) == [expected]


async def test_the_null_sender_is_empty_on_the_wire(rig: Rig, ca: trustme.CA) -> None:
    async with Peer(Script(extensions=("DSN",)), tls=server_context(ca)) as peer:
        await rig.towards(peer).deliver(make_job(message=make_message(sender="")))
    assert peer.received[0].mail == "MAIL FROM:<>"


async def test_content_that_cannot_be_read_is_never_finished(rig: Rig, ca: trustme.CA) -> None:
    class Broken(Blocks):
        async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
            yield b"Subject: x\r\n"
            raise OSError("disk")

    async with Peer(tls=server_context(ca)) as peer:
        with pytest.raises(OSError, match="disk"):
            await rig.towards(peer).deliver(make_job(content=Broken()))
    assert peer.received == []


async def test_nobody_listening_defers(rig: Rig) -> None:
    peer = Peer(port=23999)
    outcomes = await rig.towards(peer).deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.4.1")]


async def test_a_domain_without_next_hop_waits_for_the_domainbook(rig: Rig) -> None:
    outcomes = await rig.towards().deliver(make_job())
    assert summary(outcomes) == [(Result.DEFERRED, "4.4.4")]
