"""A report from the end of its day to its destinations, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import gzip
import itertools
import json
import random
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.authenticity.dkim_sign import Signer
from relayd.directory.directory import Directory
from relayd.dns.records import Answer
from relayd.errors import StoreUnavailable
from relayd.mail.address import Domain
from relayd.queue.composer import Composer
from relayd.reporting.counts import Flusher, Kind, Tally
from relayd.reporting.destinations import Destination
from relayd.reporting.post import Posted
from relayd.reporting.sender import ReportSender
from relayd.reporting.tls_source import TlsSource
from relayd.settings.models import Configuration
from relayd.store.report_counts import EARLIEST, LATEST, Report, day_of, due_time, start_of
from relayd.tls.results import PolicyType, ResultType, TlsResult
from tests.kit.dns import FakeDns
from tests.kit.lanes import Site, open_site
from tests.kit.report_schema import tls_report_mistakes

HOUR = 3600.0
RECORD = ("_smtp._tls.clinic.example", "TXT")
MAIL = "v=TLSRPTv1; rua=mailto:tls@clinic.example"
BOTH = "v=TLSRPTv1; rua=mailto:tls@clinic.example,https://reports.clinic.example/v1"
POST = "v=TLSRPTv1; rua=https://reports.clinic.example/v1"
GOOD = TlsResult("clinic.example", PolicyType.NONE, host="mx.clinic.example", address="192.0.2.1")
BAD = TlsResult(
    "clinic.example",
    PolicyType.STS,
    ("version: STSv1", "mode: testing"),
    ("mx.clinic.example",),
    "mx.clinic.example",
    "192.0.2.1",
    ResultType.CERTIFICATE_HOST_MISMATCH,
    "for other.example",
)
KEY = ed25519.Ed25519PrivateKey.generate()


class FakePoster:
    """Answers what it is told to, and keeps what was posted."""

    def __init__(self) -> None:
        self.answers: list[Posted] = []
        self.posted: list[tuple[str, bytes, str]] = []

    async def post(self, destination: Destination, content: bytes, media_type: str) -> Posted:
        self.posted.append((str(destination), content, media_type))
        return self.answers.pop(0) if self.answers else Posted()


class Rig:
    """One installation that counts and reports."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.clock = site.clock
        self.dns = FakeDns({RECORD: [MAIL]})
        self.poster = FakePoster()
        self.woken = 0
        self.tally: Tally[TlsResult] = Tally(Kind.TLS, self.clock, lambda result: result.domain)
        self.tally.wanted = True
        self.flusher = Flusher(site.store, "w1", (self.tally,))  # type: ignore[arg-type]
        self.configuration = Configuration.model_validate(
            {
                "hostname": "relay.example",
                "state": folder,
                "keys": folder,
                "listeners": [{"address": "127.0.0.1:0", "kind": "relay"}],
                "tls": {"certificate": folder / "c", "key": folder / "k"},
                "reports": {"address": "reports@relay.example", "organisation": "Relay Noord"},
            }
        )
        signers = {Domain("relay.example"): (Signer("relay.example", "r1", KEY),)}
        directory = Directory({}, {}, {}, {}, {})
        self.composer = Composer(site.vault, site.blobs, lambda: directory, self.clock, 90, lambda: signers)
        self.sender = self.another()

    def another(self) -> ReportSender:
        in_force = SimpleNamespace(
            configuration=self.configuration,
            directory=Directory({}, {}, {}, {}, {}),
        )
        return ReportSender(
            store=self.site.store,  # type: ignore[arg-type]
            composer=self.composer,
            in_force=lambda: in_force,
            sources={Kind.TLS: TlsSource(self.dns)},
            poster=lambda: self.poster,
            clock=self.clock,
            random=random.Random(1).random,
            wake=self.wake,
        )

    def wake(self) -> None:
        self.woken += 1

    async def count(self, *results: TlsResult) -> str:
        """Count these today and store them; returns the day."""
        for result in results:
            self.tally.note(result)
        await self.flusher.flush()
        return self.today

    @property
    def today(self) -> str:
        return day_of(self.clock.now())

    def to(self, at: float) -> None:
        self.clock.at = at

    async def mails(self) -> list[EmailMessage]:
        """Deliver what waits; the mails that left, in order."""
        before = len(self.site.route.contents)
        lanes = self.site.lanes()
        await lanes.start()
        while self.site.busy():
            lanes.wake()
            await asyncio.sleep(0.001)
        await lanes.drain()
        new = self.site.route.contents[before:]
        return [email.message_from_bytes(one, policy=email.policy.SMTP) for one in new]  # type: ignore[misc]

    async def state(self) -> str:
        fates: list[Any] = await self.site.store.call("report_fates", since="2000-01-01")
        return ",".join(fate.state for fate in fates)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_site(tmp_path, Directory({}, {}, {}, {}, {})) as site:
        yield Rig(site, tmp_path)


def due(day: str) -> float:
    return due_time("relay.example", "tls", day, "clinic.example")


async def test_a_day_s_report_leaves_after_midnight_once(rig: Rig) -> None:
    day = await rig.count(GOOD, GOOD, BAD)
    midnight = start_of(day) + 24 * HOUR
    assert midnight + EARLIEST <= due(day) <= midnight + LATEST
    assert await rig.sender.round() == 0  # the day isn't over
    rig.to(due(day) - 1)
    assert await rig.sender.round() == 0
    assert await rig.mails() == []
    rig.to(due(day))
    assert await rig.sender.round() == 1
    (mail,) = await rig.mails()
    assert rig.woken == 1
    rig.to(due(day) + 48 * HOUR)
    assert await rig.sender.round() == 0
    assert await rig.mails() == []
    assert await rig.state() == "sent"
    _, attachment = mail.iter_parts()
    report = json.loads(gzip.decompress(attachment.get_content()))
    assert tls_report_mistakes(report) == []
    assert report["organization-name"] == "Relay Noord"
    assert [policy["summary"] for policy in report["policies"]] == [
        {"total-successful-session-count": 2, "total-failure-session-count": 0},
        {"total-successful-session-count": 0, "total-failure-session-count": 1},
    ]


async def test_the_mail_is_what_the_rfc_describes_and_signed_for_its_author(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = await rig.count(BAD)
    rig.to(due(day))
    await rig.sender.round()
    (mail,) = await rig.mails()
    job, content = rig.site.route.jobs[-1], rig.site.route.contents[-1]
    (delivery,) = job.deliveries
    assert (job.message.sender, delivery.recipient, delivery.message_class) == ("", "tls@clinic.example", "notice")
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    named = {name: str(mail[name]) for name in ("From", "To", "TLS-Report-Domain", "TLS-Report-Submitter")}
    assert named == {
        "From": "reports@relay.example",
        "To": "tls@clinic.example",
        "TLS-Report-Domain": "clinic.example",
        "TLS-Report-Submitter": "relay.example",
    }
    assert mail["TLS-Required"] == "No"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, attachment = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert attachment.get_content_type() == "application/tlsrpt+gzip"
    report = json.loads(gzip.decompress(attachment.get_content()))
    begin = int(start_of(day))
    assert attachment.get_filename() == f"relay.example!clinic.example!{begin}!{begin + 86399}.json.gz"
    assert mail["Subject"] == (
        f"Report Domain: clinic.example Submitter: relay.example Report-ID: <{report['report-id']}>"
    )
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    public = base64.b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    record = b"v=DKIM1; k=ed25519; p=" + public
    signed = str(mail["DKIM-Signature"]).replace(" ", "")
    assert signed.count("tls-report-domain") == signed.count("tls-report-submitter") == 2  # once more than it occurs
    monkeypatch.setattr(dkim, "time", SimpleNamespace(time=rig.clock.now))
    assert dkim.DKIM(content).verify(dnsfunc=lambda name, timeout=5: record)


@pytest.mark.parametrize(
    "record",
    [
        [],
        ["v=spf1 -all"],
        [MAIL, MAIL],
        ["v=TLSRPTv1; rua=http://x.example/"],
    ],
    ids=["no record", "another record", "two records", "no usable destination"],
)
async def test_nobody_gets_a_report_that_he_did_not_ask_for(rig: Rig, record: list[str]) -> None:
    rig.dns.zone = {RECORD: record} if record else {}
    day = await rig.count(GOOD)
    rig.to(due(day))
    await rig.sender.round()
    assert await rig.mails() == []
    assert await rig.state() == "unwanted"


async def test_a_destination_that_takes_less_than_the_report_gets_none(rig: Rig) -> None:
    rig.dns.zone = {RECORD: ["v=TLSRPTv1; rua=mailto:small@clinic.example!10,mailto:tls@clinic.example!1m"]}
    day = await rig.count(GOOD)
    rig.to(due(day))
    await rig.sender.round()
    assert [str(mail["To"]) for mail in await rig.mails()] == ["tls@clinic.example"]


async def test_dns_that_cannot_be_asked_is_asked_again_for_a_day(rig: Rig) -> None:
    rig.dns.zone = {RECORD: Answer.TIMEOUT}
    day = await rig.count(GOOD)
    start = due(day)
    rig.to(start)
    asked = []
    for _ in range(40):
        tries = await rig.sender.round()
        asked += [rig.clock.now()] * tries
        rig.clock.forward(HOUR)
    assert await rig.state() == "failed"
    waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert waits == sorted(waits)
    assert asked[-1] <= start + 30 * HOUR
    assert 6 <= len(asked) <= 12


async def test_dns_that_answers_later_is_in_time(rig: Rig) -> None:
    rig.dns.zone = {RECORD: Answer.FAILED}
    day = await rig.count(GOOD)
    rig.to(due(day))
    await rig.sender.round()
    rig.dns.zone = {RECORD: [MAIL]}
    rig.clock.forward(HOUR)
    await rig.sender.round()
    assert len(await rig.mails()) == 1


async def test_mail_and_https_both_get_it(rig: Rig) -> None:
    rig.dns.zone = {RECORD: [BOTH]}
    day = await rig.count(GOOD)
    rig.to(due(day))
    await rig.sender.round()
    (mail,) = await rig.mails()
    _, attachment = mail.iter_parts()
    assert rig.poster.posted == [
        ("https://reports.clinic.example/v1", attachment.get_content(), "application/tlsrpt+gzip")
    ]
    assert await rig.state() == "sent"


async def test_a_post_is_tried_again_and_the_mail_is_not_sent_twice(rig: Rig) -> None:
    rig.dns.zone = {RECORD: [BOTH]}
    rig.poster.answers = [Posted("answered 503", final=False), Posted("not reached", final=False)]
    day = await rig.count(GOOD)
    rig.to(due(day))
    for _ in range(4):
        await rig.sender.round()
        rig.clock.forward(4 * HOUR)
    assert len(await rig.mails()) == 1
    assert len(rig.poster.posted) == 3
    assert len({content for _, content, _ in rig.poster.posted}) == 1
    assert await rig.state() == "sent"


async def test_a_post_that_is_refused_for_good_is_not_repeated(rig: Rig) -> None:
    rig.dns.zone = {RECORD: [POST]}
    rig.poster.answers = [Posted("answered 301")]
    day = await rig.count(GOOD)
    rig.to(due(day))
    for _ in range(3):
        await rig.sender.round()
        rig.clock.forward(8 * HOUR)
    assert len(rig.poster.posted) == 1
    assert await rig.state() == "failed"


async def test_a_post_that_never_works_is_given_up_after_a_day(rig: Rig) -> None:
    rig.dns.zone = {RECORD: [POST]}
    rig.poster.answers = [Posted("not reached", final=False)] * 100
    day = await rig.count(GOOD)
    rig.to(due(day))
    for _ in range(40):
        await rig.sender.round()
        rig.clock.forward(HOUR)
    assert await rig.state() == "failed"
    assert 6 <= len(rig.poster.posted) <= 12


async def test_several_senders_make_one_report(rig: Rig) -> None:
    day = await rig.count(GOOD)
    rig.to(due(day))
    tries = await asyncio.gather(*(rig.another().round() for _ in range(5)))
    assert sum(tries) == 1
    assert len(await rig.mails()) == 1


class Dies(BaseException):
    """kill -9, as far as the sender goes."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
async def test_a_crash_neither_loses_nor_doubles_a_report(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    day = await rig.count(GOOD)
    rig.to(due(day))
    real = rig.site.store.call

    async def dying(operation: str, **arguments: Any) -> Any:
        if operation == "report_settle":
            if after:
                await real(operation, **arguments)
            raise Dies
        return await real(operation, **arguments)

    rig.site.store.call = dying  # type: ignore[method-assign]
    with pytest.raises(Dies):
        await rig.another().round()
    rig.site.store.call = real  # type: ignore[method-assign]
    assert await rig.another().round() == 0  # claimed, so nobody else tries at once
    rig.clock.forward(HOUR)
    assert await rig.another().round() == (0 if after else 1)
    assert len(await rig.mails()) == 1


async def test_a_slow_sender_whose_claim_ran_out_changes_nothing(rig: Rig) -> None:
    day = await rig.count(GOOD)
    rig.to(due(day))
    await rig.site.store.call("report_prepare", salt="relay.example")
    slow = await rig.site.store.call("report_claim", busy_until=rig.clock.now() + 60)
    rig.clock.forward(HOUR)
    await rig.sender.round()
    settled = await rig.site.store.call("report_settle", report=slow, state="failed", due=0.0, left=[], messages=[])
    assert settled is False
    assert await rig.state() == "sent"


async def test_a_sick_store_ends_the_round_and_the_next_one_goes_on(rig: Rig) -> None:
    day = await rig.count(GOOD)
    rig.to(due(day))
    rig.site.store.sick = True
    with pytest.raises(StoreUnavailable):
        await rig.sender.round()
    rig.site.store.sick = False
    await rig.sender.round()
    assert len(await rig.mails()) == 1


async def test_a_domain_s_trouble_holds_up_no_other(rig: Rig) -> None:
    class Defect(TlsSource):
        async def destinations(self, report: Report) -> tuple[Destination, ...] | None:
            if report.domain == "clinic.example":
                raise ZeroDivisionError
            return await super().destinations(report)

    other = TlsResult("other.example", PolicyType.NONE)
    rig.dns.zone |= {("_smtp._tls.other.example", "TXT"): ["v=TLSRPTv1; rua=mailto:tls@other.example"]}
    day = await rig.count(GOOD, other)
    rig.to(start_of(day) + 24 * HOUR + LATEST)
    rig.sender._sources = {Kind.TLS: Defect(rig.dns)}
    await rig.sender.round()
    assert [str(mail["To"]) for mail in await rig.mails()] == ["tls@other.example"]


async def test_after_days_of_standstill_old_counts_go_and_recent_ones_are_reported(rig: Rig) -> None:
    old = await rig.count(GOOD)
    rig.clock.forward(5 * 24 * HOUR)
    recent = await rig.count(GOOD)
    rig.to(due(recent))
    await rig.sender.round()
    (mail,) = await rig.mails()
    assert str(mail["Subject"]).partition("<")[2].startswith(recent)
    fates = {fate.day: fate.state for fate in await rig.site.store.call("report_fates", since=old)}
    assert fates == {old: "failed", recent: "sent"}


async def test_without_an_address_nothing_is_sent(rig: Rig) -> None:
    rig.configuration = rig.configuration.model_copy(
        update={"reports": rig.configuration.reports.model_copy(update={"address": ""})}
    )
    day = await rig.count(GOOD)
    rig.to(due(day))
    assert await rig.another().round() == 0
    assert await rig.mails() == []
