"""Mail by MX to servers that prove themselves, or don't: over real handshakes, with the certificates of the day."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from relayd.delivery.client import Timeouts
from relayd.delivery.pool import Pool
from relayd.delivery.relay import RelayRoute
from relayd.delivery.ways import Ways
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.dns.records import Answer, Tlsa
from relayd.mail.address import Domain
from relayd.queue.outcome import Outcome, Result
from relayd.settings.models import NoticeSettings
from relayd.tls.contexts import ClientTls
from relayd.tls.results import PolicyType, ResultType, TlsResult
from relayd.tls.sts_policy import StsMode, StsPolicy
from tests.kit.chains import Made, make, with_sha1
from tests.kit.dns import FakeDns
from tests.kit.jobs import make_delivery, make_job
from tests.kit.peer import DROP, GARBAGE, HANG, Peer, Script

ORG = Domain("example.org")
MX = "mx.example.org"
PATIENT = Timeouts(connect=5, greeting=5, command=5, data=5, block=5, final_dot=5)
QUICK = Timeouts(connect=5, greeting=5, command=0.5, data=5, block=5, final_dot=5)

RSA = rsa.generate_private_key(65537, 2048)
ROOT = make("root", ca=True, key=RSA)
INTERMEDIATE = make("intermediate", ROOT, ca=True)
LEAF = make("leaf", INTERMEDIATE, names=[MX])
SELF_SIGNED = make("self", names=[MX])
EXPIRED = make("expired", INTERMEDIATE, names=[MX], starts=-30, days=20)
OTHER = make("other", INTERMEDIATE, names=["other.example.org"])
WEAK = make("weak", INTERMEDIATE, names=[MX], key=rsa.generate_private_key(65537, 1024))  # noqa: S505
SHA1 = with_sha1(make("sha1", ROOT, names=[MX], key=RSA), ROOT)

UNDER = (INTERMEDIATE, ROOT)
S, T = PolicyType.STS, PolicyType.TLSA


@dataclass
class Told:
    """MTA-STS policies, and what was noted for the daily reports."""

    policies: Mapping[Domain, StsPolicy] = field(default_factory=dict)
    noted: list[TlsResult] = field(default_factory=list)

    async def policy(self, domain: Domain) -> StsPolicy | None:
        return self.policies.get(domain)

    def note(self, result: TlsResult) -> None:
        self.noted.append(result)


def server(folder: Path, own: Made, *above: Made) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # what the bad ones do
    context.load_cert_chain(*own.write(folder, *above))
    return context


@asynccontextmanager
async def towards(
    peer: Peer,
    told: Told,
    *,
    tlsa: Sequence[Tlsa] | Answer = (),
    secure: bool = True,
    trusted: Path | None = None,
    timeouts: Timeouts = PATIENT,
    entry: DomainEntry | None = None,
) -> AsyncIterator[RelayRoute]:
    """The relay route, in a world where ``peer`` is the mail host of example.org."""
    records = tlsa if isinstance(tlsa, Answer) else [str(record) for record in tlsa]
    zone = {
        ("example.org", "MX"): [f"10 {MX}"],
        (MX, "A"): ["127.0.0.1"],
        (f"_{peer.port}._tcp.{MX}", "TLSA"): records or Answer.NO_NAME,
    }
    resolver = FakeDns(zone, secure=["example.org"] if secure else [])
    directory = Directory({}, {entry.domain: entry} if entry else {}, {}, {}, {})
    ways = Ways(
        directory, resolver, NoticeSettings(), "relay.example", policies=told, results=told, port=peer.port
    )  # fmt: skip
    pool = Pool(
        "relay.example", ClientTls(trusted), resolver, per_hop=2, total=9, idle=30, timeouts=timeouts, results=told
    )
    route = RelayRoute(ways, pool)
    try:
        yield route
    finally:
        await route.close()


async def send(route: RelayRoute, message_class: str = "ordinary", target: str = "") -> Outcome:
    delivery = make_delivery(
        recipient="b@example.org", domain="example.org", target=target, message_class=message_class
    )
    (outcome,) = await route.deliver(make_job(delivery))
    return outcome


def seen(outcome: Outcome) -> str:
    """The proof where it arrived, else the status."""
    if outcome.result in (Result.DELIVERED, Result.RELAYED):
        assert outcome.tls is not None
        return outcome.tls.proof
    assert outcome.result is Result.DEFERRED
    return outcome.status


def shown(value: object) -> str:
    """The id of a row: octets made at import time differ from process to process."""
    if isinstance(value, tuple):
        return " under ".join(made.name for made in value)
    if isinstance(value, list):
        return ", ".join(f"{record.usage} {record.selector} {record.matching}" for record in value)
    return str(value)


@pytest.mark.parametrize("message_class", ["ordinary", "confidential"])
@pytest.mark.parametrize(
    ("chain", "tlsa", "expected", "failure"),
    [
        ((LEAF, *UNDER), [LEAF.tlsa(3, 1, 1)], "dane 3 1 1", None),
        ((LEAF, *UNDER), [ROOT.tlsa(2, 0, 1)], "dane 2 0 1", None),
        ((LEAF, INTERMEDIATE), [ROOT.tlsa(2, 0, 0)], "dane 2 0 0", None),
        ((SELF_SIGNED,), [SELF_SIGNED.tlsa(3, 0, 2)], "dane 3 0 2", None),
        ((EXPIRED, *UNDER), [EXPIRED.tlsa(3, 1, 1)], "dane 3 1 1", None),
        ((OTHER, *UNDER), [OTHER.tlsa(3, 1, 1)], "dane 3 1 1", None),
        ((WEAK, *UNDER), [WEAK.tlsa(3, 1, 1)], "dane 3 1 1", None),
        ((SHA1, ROOT), [SHA1.tlsa(3, 1, 1)], "dane 3 1 1", None),
        ((LEAF, *UNDER), [SELF_SIGNED.tlsa(3, 1, 1)], "4.7.5", ResultType.VALIDATION_FAILURE),
        ((LEAF, INTERMEDIATE), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.VALIDATION_FAILURE),
        ((LEAF, ROOT), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
        ((EXPIRED, *UNDER), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.CERTIFICATE_EXPIRED),
        ((OTHER, *UNDER), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.CERTIFICATE_HOST_MISMATCH),
        ((WEAK, *UNDER), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
        ((SHA1, ROOT), [ROOT.tlsa(2, 0, 1)], "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
    ],
    ids=shown,
)
async def test_dane(
    tmp_path: Path, message_class: str, chain: tuple[Made, ...], tlsa: list[Tlsa], expected: str, failure: object
) -> None:
    told = Told()
    async with Peer(tls=server(tmp_path, *chain)) as peer, towards(peer, told, tlsa=tlsa) as route:
        outcome = await send(route, message_class)
    assert seen(outcome) == expected
    assert outcome.facts["way"].startswith("DANE: mx.example.org has")
    assert len(peer.received) == (failure is None)
    assert any(command.startswith("MAIL") for command in peer.commands) is (failure is None)
    assert told.noted == [TlsResult(ORG, T, tuple(map(str, tlsa)), (), MX, "127.0.0.1", failure, told.noted[0].reason)]


STS = {mode: StsPolicy(ORG, "1", mode, ("*.example.org",), 86400) for mode in StsMode}


@pytest.mark.parametrize(
    ("mode", "chain", "expected", "failure"),
    [
        (StsMode.ENFORCE, (LEAF, *UNDER), "mta-sts", None),
        (StsMode.ENFORCE, (SELF_SIGNED,), "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
        (StsMode.ENFORCE, (LEAF,), "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
        (StsMode.ENFORCE, (EXPIRED, *UNDER), "4.7.5", ResultType.CERTIFICATE_EXPIRED),
        (StsMode.ENFORCE, (OTHER, *UNDER), "4.7.5", ResultType.CERTIFICATE_HOST_MISMATCH),
        (StsMode.ENFORCE, (WEAK, *UNDER), "4.7.5", ResultType.CERTIFICATE_NOT_TRUSTED),
        (StsMode.TESTING, (LEAF, *UNDER), "mta-sts", None),
        (StsMode.TESTING, (SELF_SIGNED,), "", ResultType.CERTIFICATE_NOT_TRUSTED),
        (StsMode.TESTING, (EXPIRED, *UNDER), "", ResultType.CERTIFICATE_EXPIRED),
        (StsMode.TESTING, (OTHER, *UNDER), "", ResultType.CERTIFICATE_HOST_MISMATCH),
    ],
    ids=shown,
)
async def test_mta_sts(
    tmp_path: Path, mode: StsMode, chain: tuple[Made, ...], expected: str, failure: ResultType | None
) -> None:
    told = Told({ORG: STS[mode]})
    root = tmp_path / "root.pem"
    root.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    async with Peer(tls=server(tmp_path, *chain)) as peer, towards(peer, told, secure=False, trusted=root) as route:
        outcome = await send(route)
    assert seen(outcome) == expected
    assert len(peer.received) == (expected != "4.7.5")
    assert [(one.type, one.mx_patterns, one.failure) for one in told.noted] == [(S, ("*.example.org",), failure)]


@pytest.mark.parametrize(
    ("script", "status", "failure", "words"),
    [
        (Script(starttls=False), "4.7.10", ResultType.STARTTLS_NOT_SUPPORTED, "offers none"),
        (Script(replies={"STARTTLS": "454 4.7.0 no"}), "4.7.10", ResultType.STARTTLS_NOT_SUPPORTED, "refuses it: 454"),
        (Script(replies={"STARTTLS": "501 no"}), "4.7.10", ResultType.STARTTLS_NOT_SUPPORTED, "refuses it: 501"),
        (Script(inject_after_starttls=b"250 ok\r\n"), "4.7.10", ResultType.VALIDATION_FAILURE, "octets came with"),
        (Script(replies={"STARTTLS": GARBAGE}), "4.7.10", ResultType.VALIDATION_FAILURE, "in place of one"),
        (Script(replies={"STARTTLS": DROP}), "4.4.1", ResultType.VALIDATION_FAILURE, "offers STARTTLS, and then"),
        (Script(replies={"STARTTLS": HANG}), "4.4.1", ResultType.VALIDATION_FAILURE, "offers STARTTLS, and then"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_server_that_offers_starttls_and_fails_gets_nothing(
    tmp_path: Path, script: Script, status: str, failure: ResultType, words: str
) -> None:
    told = Told()
    tls = None if script.replies else server(tmp_path, LEAF, *UNDER)
    async with Peer(script, tls=tls) as peer, towards(peer, told, tlsa=[LEAF.tlsa(3, 1, 1)], timeouts=QUICK) as route:
        outcome = await send(route)
    assert (outcome.status, outcome.result) == (status, Result.DEFERRED)
    assert words in outcome.reply
    assert [one.failure for one in told.noted] == [failure]
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_a_server_that_drops_starttls_at_the_second_try_gets_nothing_more(tmp_path: Path) -> None:
    told = Told()
    async with Peer(tls=server(tmp_path, LEAF, *UNDER)) as peer:
        async with towards(peer, told, tlsa=[LEAF.tlsa(3, 1, 1)]) as route:
            assert seen(await send(route)) == "dane 3 1 1"
        peer.script.starttls = False
        async with towards(peer, told, tlsa=[LEAF.tlsa(3, 1, 1)]) as route:
            assert seen(await send(route)) == "4.7.10"
    assert len(peer.received) == 1


async def test_records_that_are_all_unusable_demand_tls_and_prove_nothing(tmp_path: Path) -> None:
    told = Told()
    records = [LEAF.tlsa(1, 1, 1)]
    async with Peer(tls=server(tmp_path, SELF_SIGNED)) as peer, towards(peer, told, tlsa=records) as route:
        assert seen(await send(route)) == ""
        assert seen(await send(route, "confidential")) == "4.7.5"
    assert len(peer.received) == 1


@pytest.mark.parametrize("answer", [Answer.BOGUS, Answer.FAILED, Answer.TIMEOUT])
async def test_records_that_cannot_be_had_make_it_wait(tmp_path: Path, answer: Answer) -> None:
    told = Told({ORG: STS[StsMode.ENFORCE]})
    async with Peer(tls=server(tmp_path, LEAF, *UNDER)) as peer, towards(peer, told, tlsa=answer) as route:
        assert seen(await send(route)) == "4.4.3"
        assert seen(await send(route, "confidential")) == "4.4.3"
    assert peer.connections == 0


@pytest.mark.parametrize(
    ("record", "expected"), [(LEAF, "dane 3 1 1"), (OTHER, "4.7.5"), (None, "4.7.5")], ids=["it", "another", "none"]
)
async def test_a_next_hop_of_the_domainbook_that_must_be_proven_by_dane(
    tmp_path: Path, record: Made | None, expected: str
) -> None:
    tlsa = [record.tlsa(3, 1, 1)] if record else []
    async with Peer(tls=server(tmp_path, LEAF, *UNDER)) as peer:
        entry = DomainEntry(ORG, Delivers.RELAY, "o", next_hops=(f"{MX}:{peer.port}",), dane=True)
        async with towards(peer, Told(), tlsa=tlsa, entry=entry) as route:
            assert seen(await send(route, "confidential", "example.org")) == expected


async def test_sessions_are_counted_once_for_each_domain_whose_mail_they_carry(tmp_path: Path) -> None:
    told = Told()
    async with (
        Peer(tls=server(tmp_path, LEAF, *UNDER)) as peer,
        towards(peer, told, tlsa=[LEAF.tlsa(3, 1, 1)]) as route,
    ):
        for _ in range(3):
            assert seen(await send(route)) == "dane 3 1 1"
    assert peer.connections == 1
    assert [(one.domain, one.failure) for one in told.noted] == [(ORG, None)]
