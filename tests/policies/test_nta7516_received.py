"""What comes in from others by NTA 7516: the checks' verdict, and what it means for the header that claims it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policies.nta7516_received import Failing, Nta7516ReceivedOptions, Nta7516ReceivedPolicy
from relayd.authenticity.results import Authentication, Disposition, Dkim, Dmarc, Result, Spf
from relayd.directory.directory import Directory, NtaEntry, NtaProvider, Organisation, Origin, Via
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.records import Answer
from relayd.mail.address import Domain
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Defer, Hold, Pass, Refuse, Rewrite, Verdict
from tests.kit.dns import FakeDns
from tests.kit.judging import STRANGER, FrozenClock, ToldAuthenticator, context, listed, mail

CLINIC = Domain("clinic.example")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
CURRENT = "v=NTA7516-1;startdate=2026-11;enddate=2026-11;provider=x"
ORGANISATION = Organisation("us", "Us", frozenset({Domain("us.example")}))
OURS = Origin(Via.NETWORK, ("us",))


def dns(answer: list[str] | Answer) -> FakeDns:
    return FakeDns({("clinic.example", "TXT"): answer}, secure=["clinic.example"])


GOOD = Authentication(
    Spf(Result.PASS, "clinic.example"),
    (Dkim(Result.PASS, "clinic.example"),),
    Dmarc(Result.PASS, "clinic.example", "clinic.example", Disposition.REJECT, spf_aligned=True, dkim_aligned=True),
)
SPOOFED = replace(GOOD, spf=Spf(Result.FAIL, "clinic.example"))
UNKNOWN = replace(GOOD, spf=Spf(Result.TEMPERROR, "clinic.example"))
MARKED = "From: b@clinic.example\nX-Way: agreed\n\n"
BARE = "From: b@clinic.example\n\n"


async def come_in(
    content: str,
    told: Authentication = GOOD,
    *,
    answer: FakeDns | None = None,
    header: tuple[str, str] = ("X-Way", "agreed"),
    failing: Failing = Failing.STRIP,
    entry: NtaEntry | None = None,
    origin: Origin = STRANGER,
) -> tuple[list[Verdict], FakeDns, ToldAuthenticator]:
    entries = {entry.domain: entry} if entry else {}
    directory = Directory({"us": ORGANISATION}, {}, entries, {}, {}, nta_provider=NtaProvider(header=header))
    answer, authenticator = answer or dns([CURRENT]), ToldAuthenticator(told=told)
    answer.asked.clear()
    asked = context(directory, clock=FrozenClock(NOW), nta=NtaDns(answer), authenticator=authenticator)
    shown = mail(content, sender="b@clinic.example", to=["a@us.example"], origin=origin)
    policy = Nta7516ReceivedPolicy(Nta7516ReceivedOptions(failing=failing))
    return listed(await policy.judge(shown, Stage.MESSAGE, asked)), answer, authenticator


async def test_a_compliant_message_keeps_its_header() -> None:
    ((verdict,), _, _) = await come_in(MARKED)
    assert verdict == Pass("NTA 7516 receive checks: compliant")


STRIPPED = Rewrite("X-Way is put here alone, on what leaves by NTA 7516", drop=("x-way",))


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        (Failing.STRIP, [STRIPPED, Pass("NTA 7516 receive checks: not compliant: spf")]),
        (Failing.HOLD, [STRIPPED, Hold("NTA 7516 receive checks: not compliant: spf")]),
    ],
)
async def test_a_message_that_claims_the_way_and_fails(failing: Failing, expected: list[Verdict]) -> None:
    assert (await come_in(MARKED, SPOOFED, failing=failing))[0] == expected


async def test_it_may_be_refused() -> None:
    ((verdict,), _, _) = await come_in(MARKED, SPOOFED, failing=Failing.REFUSE)
    assert isinstance(verdict, Refuse)
    assert verdict.reply.code == 550


@pytest.mark.parametrize("failing", Failing)
async def test_while_dns_cannot_tell_it_is_put_off(failing: Failing) -> None:
    for told, answer in ((UNKNOWN, dns([CURRENT])), (GOOD, dns(Answer.TIMEOUT))):
        ((verdict,), _, _) = await come_in(MARKED, told, answer=answer, failing=failing)
        assert isinstance(verdict, Defer)


@pytest.mark.parametrize(
    ("entry", "record", "words"),
    [
        (NtaEntry(CLINIC, False, "forwards"), [CURRENT], "not compliant: record"),
        (NtaEntry(CLINIC, True, "agreed", hosts=("mx:25",)), ["v=spf1 -all"], "compliant"),
        (None, ["v=spf1 -all"], "not compliant: record"),
    ],
)
async def test_the_register_counts_for_senders_too(entry: NtaEntry | None, record: list[str], words: str) -> None:
    verdicts, _, _ = await come_in(MARKED, answer=dns(record), entry=entry)
    assert verdicts[-1].reason.endswith(words)


async def test_members_and_unmarked_mail_cost_no_question() -> None:
    for content, origin, expected in (
        (MARKED, OURS, [STRIPPED]),
        (BARE, OURS, []),
        (BARE, STRANGER, [Pass("doesn't say that it came by NTA 7516")]),
    ):
        verdicts, answer, authenticator = await come_in(content, origin=origin)
        assert (verdicts, answer.asked, authenticator.asked) == (expected, [], 0)


async def test_where_no_header_is_agreed_the_authors_record_says_who_is_checked() -> None:
    none = ("", "")
    ((verdict,), _, _) = await come_in(BARE, header=none)
    assert verdict == Pass("NTA 7516 receive checks: compliant")
    ((verdict,), _, _) = await come_in(BARE, SPOOFED, header=none)
    assert verdict == Pass("NTA 7516 receive checks: not compliant: spf")
    ((verdict,), _, _) = await come_in(BARE, UNKNOWN, header=none)
    assert isinstance(verdict, Pass)  # for the journal alone
    ((verdict,), _, authenticator) = await come_in(BARE, header=none, answer=dns(["v=spf1 -all"]))
    assert (verdict, authenticator.asked) == (Pass("clinic.example publishes no NTA 7516 record"), 0)


@pytest.mark.parametrize(
    "head",
    [
        "X-Way : agreed\nFrom: b@clinic.example\n",
        "x-WAY:other\nFrom: b@clinic.example\n",
        "X-Way: =?utf-8?q?agreed?=\nFrom: b@clinic.example\n",
        "X-Way: agreed\nX-Way: agreed\nFrom: b@clinic.example\n",
        "X-Way:\n agreed\n x\nFrom: b@clinic.example\n",
        "X-Way: agreed\nFrom: b@clinic.example\nFrom: c@clinic.example\n",
        "X-Way: agreed\n",
    ],
)
async def test_whatever_looks_like_the_header_and_is_not_goes(head: str) -> None:
    verdicts, _, _ = await come_in(f"{head}\n")
    assert verdicts[0] == STRIPPED
