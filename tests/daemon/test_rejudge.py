"""An undecided recipient's copy gets the header that belongs to the way found later, signed as a whole."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import dkim
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from policies.nta7516 import Nta7516Policy
from relayd.authenticity.dkim_sign import BodyHash, Signer
from relayd.daemon.rejudge import rejudge
from relayd.directory.directory import Directory, NtaProvider, Organisation
from relayd.directory.nta7516 import NtaRecord
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.records import Answer
from relayd.mail.address import Domain
from relayd.mail.meta import Transformation
from relayd.mail.patch import PatchedBody
from relayd.pipeline.policy import Context, Mail, OnError, Options, Policy, Stage
from relayd.pipeline.runner import Pipeline, Step
from relayd.pipeline.verdict import Pass, RouteKind, RouteTarget, RouteTo, Transform, Verdict
from relayd.queue.attempt import SealedContents
from relayd.store.records import Claimed, Settlement, State
from relayd.vault.meta import open_meta
from tests.kit.dns import FakeDns
from tests.kit.judging import MemoryLimits, NtaWays, ToldInspector
from tests.kit.judging import context as judging_context
from tests.kit.lanes import Site, open_site

OURS = Domain("hospital.example")
CONTENT = b"From: a@hospital.example\r\nSubject: hi\r\n\r\nKNOWN\r\n\r\n"
RECEIVED = b"Received: from x by y\r\n"
KEY = Ed25519PrivateKey.generate()
SIGNER = Signer(OURS, "s", KEY)
HTML = Transformation("edi", (("form", "html"),), ("1",))
RECORD = "v=NTA7516-1;startdate=2020-01;enddate=2030-12;provider=x"
DIRECTORY = Directory(
    {"hospital": Organisation("hospital", "Hospital", frozenset({OURS}))}, {}, {}, {}, {},
    nta_provider=NtaProvider({"hospital": NtaRecord("x", date(2020, 1, 1), date(2030, 12, 31))}, ("X-Way", "nta")),
)  # fmt: skip


def lookup(name: bytes, timeout: int = 5) -> bytes | None:
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw) if name == b"s._domainkey.hospital.example." else None


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, DIRECTORY) as site:
        site.clock.at = 1_700_000_000.0  # dkimpy takes no signature from the future
        yield site


def signature() -> bytes:
    hashed = BodyHash()
    hashed.feed(CONTENT.partition(b"\r\n\r\n")[2])
    return SIGNER.sign(CONTENT.partition(b"\r\n\r\n")[0] + b"\r\n", hashed.digest(), 1_700_000_000)


NTA = Pipeline((Step(Nta7516Policy(Options()), 10.0, OnError.DEFER),))


async def judged(site: Site, claimed: Claimed, dns: FakeDns, pipeline: Pipeline = NTA) -> list[Settlement]:
    in_force = SimpleNamespace(directory=DIRECTORY, pipeline=pipeline, signers={OURS: (SIGNER,)})
    asked = judging_context(
        DIRECTORY, limits=MemoryLimits(), inspector=ToldInspector(), clock=site.clock, nta=NtaDns(dns), ways=NtaWays()
    )
    services = SimpleNamespace(in_force=in_force, vault=site.vault, clock=site.clock, context=lambda _: asked)
    body, meta = SealedContents(site.vault, site.blobs).open(claimed.message, None)
    return await rejudge(services, claimed, body, meta)  # type: ignore[arg-type]


async def copies(site: Site, claimed: Claimed, sealed: bytes) -> list[bytes]:
    """Every copy of the message as it would leave."""
    message = claimed.message
    key = site.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    body, _ = SealedContents(site.vault, site.blobs).open(message, None)
    return [
        b"".join([block async for block in PatchedBody(body, patch).blocks()])
        for patch in open_meta(key, sealed).copies
    ]


async def undecided(site: Site, put: bytes) -> Claimed:
    names = ("b@clinic.example", "c@clinic.example", "d@slow.example")
    return await site.accept(*names, content=CONTENT, put=put, state=State.UNDECIDED, route="", target="")


DNS = FakeDns({("clinic.example", "TXT"): [RECORD], ("slow.example", "TXT"): Answer.TIMEOUT}, secure=["clinic.example"])


async def test_the_header_of_the_way_is_put_and_signed(site: Site) -> None:
    claimed = await undecided(site, RECEIVED + signature() + b"X-Other: 1\r\n")
    first, second, third = await judged(site, claimed, DNS)
    assert (first.state, first.target, first.copy) == (State.QUEUED, "nta:clinic.example", 1)
    assert (second.copy, third.copy, third.state) == (1, None, State.UNDECIDED)
    assert first.meta is not None
    before, after = await copies(site, claimed, first.meta)
    assert b"X-Way" not in before
    assert after.startswith(RECEIVED + b"DKIM-Signature:")
    assert (after.count(b"DKIM-Signature:"), after.count(b"X-Way: nta\r\n"), after.count(b"X-Other: 1\r\n")) == (
        1,
        1,
        1,
    )
    assert dkim.verify(after, dnsfunc=lookup)
    assert not dkim.verify(after.replace(b"X-Way: nta\r\n", b""), dnsfunc=lookup)


async def test_what_was_not_signed_is_not_signed_now(site: Site) -> None:
    claimed = await undecided(site, RECEIVED + b"X-Way: nta\r\n")
    first, *_ = await judged(site, claimed, DNS)
    assert first.meta is not None
    _, after = await copies(site, claimed, first.meta)
    assert after == RECEIVED + b"X-Way: nta\r\n" + CONTENT
    assert first.copy == 1


async def test_nothing_changes_while_dns_is_silent(site: Site) -> None:
    claimed = await undecided(site, RECEIVED)
    silent = FakeDns({("clinic.example", "TXT"): Answer.TIMEOUT, ("slow.example", "TXT"): Answer.TIMEOUT})
    for settlement in await judged(site, claimed, silent):
        assert (settlement.state, settlement.copy, settlement.meta) == (State.UNDECIDED, None, None)


@pytest.mark.parametrize(
    ("sender", "recognised"),
    [("info@hospital.example", True), ("", True), ("someone@outside.example", False)],
    ids=["ours", "a report", "a stranger"],
)
async def test_a_strangers_message_stays_a_strangers(site: Site, sender: str, recognised: bool) -> None:
    class Listening(Policy[Options]):
        name = "listening"
        stages = frozenset({Stage.ROUTE})

        async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
            seen.append(mail.origin.recognised)
            return Pass("heard")

    seen: list[bool] = []
    claimed = await undecided(site, RECEIVED)
    message = msgspec.structs.replace(claimed.message, sender=sender)
    pipeline = Pipeline((Step(Listening(Options()), 10.0, OnError.DEFER),))
    await judged(site, Claimed(message, claimed.deliveries), DNS, pipeline)
    assert seen == [recognised]


async def test_an_undecided_copy_is_made_anew_in_the_way_that_is_found_later(site: Site) -> None:
    class Shaping(Policy[Options]):
        name = "shaping"
        stages = frozenset({Stage.ROUTE})

        async def judge(self, mail: Mail, stage: Stage, context: Context) -> list[Verdict]:
            keys = ("b@clinic.example",)
            way = RouteTo("a way", ("b@clinic.example", "c@clinic.example"), route=RouteTarget(RouteKind.RELAY, "x"))
            return [Transform("as HTML", keys, transformation=HTML), way]

    claimed = await undecided(site, RECEIVED)
    pipeline = Pipeline((Step(Shaping(Options()), 10.0, OnError.DEFER),))
    first, second, _ = await judged(site, claimed, DNS, pipeline)
    assert (first.copy, second.copy) == (1, None)
    assert first.meta is not None
    message = claimed.message
    key = site.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    assert open_meta(key, first.meta).transformations == {1: HTML}
