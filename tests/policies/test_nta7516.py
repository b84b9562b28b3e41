"""The way of NTA 7516: who is compliant on both sides, what DNS says of it, and what follows for each recipient."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from policies.nta7516 import Nta7516Policy
from relayd.directory.directory import Directory, NtaEntry, NtaProvider, Organisation, Origin, Via
from relayd.directory.nta7516 import NtaRecord
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.records import Answer, Validation
from relayd.mail.address import Domain
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import (
    Defer,
    MessageClass,
    Pass,
    Rewrite,
    RouteKind,
    RouteTarget,
    RouteTo,
    Verdict,
)
from tests.kit.dns import FakeDns
from tests.kit.judging import STRANGER, FrozenClock, NtaWays, context, listed, mail

CLINIC, OTHER = Domain("clinic.example"), Domain("other.example")
US = Domain("us.example")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
CURRENT = "v=NTA7516-1;startdate=2026-11;enddate=2026-11;provider=x"
OWN = NtaRecord("x", date(2026, 1, 1), date(2026, 12, 31))
ORGANISATION = Organisation("us", "Us", frozenset({US}), relays_for=frozenset({Domain("theirs.example")}))
OURS = Origin(Via.NETWORK, ("us",))
ROUTE = RouteTarget(RouteKind.RELAY, "nta:clinic.example", MessageClass.CONFIDENTIAL)


async def judge(
    dns: FakeDns,
    *,
    own: NtaRecord | None = OWN,
    entry: NtaEntry | None = None,
    origin: Origin = OURS,
    author: str = "a@us.example",
    to: tuple[str, ...] = ("b@clinic.example",),
    header: tuple[str, str] = ("", ""),
    ways: NtaWays | None = None,
) -> list[Verdict]:
    provider = NtaProvider(own={"us": own} if own else {}, header=header)
    entries = {entry.domain: entry} if entry else {}
    directory = Directory({"us": ORGANISATION}, {}, entries, {}, {}, nta_provider=provider)
    shown = mail(f"From: {author}\n\n", sender="a@us.example", to=to, origin=origin)
    asked = context(directory, clock=FrozenClock(NOW), nta=NtaDns(dns), ways=ways or NtaWays())
    return listed(await Nta7516Policy(Options()).judge(shown, Stage.ROUTE, asked))


def dns(answer: list[str] | Answer | None = None, *, secure: bool = True) -> FakeDns:
    zone = {} if answer is None else {("clinic.example", "TXT"): answer}
    return FakeDns(zone, secure=["clinic.example"] if secure else [])  # type: ignore[arg-type]


#: What DNS says of the recipient's domain, with what then becomes of a compliant sender's mail.
ANSWERS = [
    pytest.param(dns([CURRENT]), RouteTo, "signed with DNSSEC", id="current and signed"),
    pytest.param(dns(["v=spf1 -all", CURRENT + ";ntamx=10 mx.x.example"]), RouteTo, "", id="among others"),
    pytest.param(dns([CURRENT], secure=False), Pass, "DNSSEC doesn't vouch", id="unsigned"),
    pytest.param(dns([CURRENT.replace("enddate=2026-11", "enddate=2026-12")]), RouteTo, "", id="ends next month"),
    pytest.param(dns([CURRENT.replace("2026-11", "2026-10")]), Pass, "not today", id="ended last month"),
    pytest.param(dns([CURRENT.replace("2026-11", "2026-12")]), Pass, "not today", id="starts next month"),
    pytest.param(dns([CURRENT, CURRENT + ";x=y"]), Pass, "count as none", id="two records"),
    pytest.param(dns(["v=NTA7516;version:2019-06;expire:2030-10"]), Pass, "form of 2019", id="the form of 2019"),
    pytest.param(dns([CURRENT + ";ntamx=10 192.0.2.1"]), Pass, "can't be used", id="no host to prove"),
    pytest.param(dns(["v=spf1 -all"]), Pass, "no NTA 7516 record", id="no record"),
    pytest.param(dns(), Pass, "no NTA 7516 record", id="no such name"),
    pytest.param(dns(Answer.BOGUS), Defer, "bogus", id="forged"),
    pytest.param(dns(Answer.FAILED), Defer, "servfail", id="resolver failed"),
    pytest.param(dns(Answer.TIMEOUT), Defer, "timeout", id="silence"),
]


@pytest.mark.parametrize(("answer", "kind", "words"), ANSWERS)
async def test_the_recipients_record_decides_for_a_compliant_sender(
    answer: FakeDns, kind: type[Verdict], words: str
) -> None:
    (verdict,) = await judge(answer)
    assert type(verdict) is kind
    assert verdict.recipients == ("b@clinic.example",)
    assert words in verdict.reason
    if isinstance(verdict, RouteTo):
        assert verdict.route == ROUTE


#: Whose side isn't compliant: with none of these does DNS matter.
SENDERS = [
    pytest.param({"origin": STRANGER}, "not from one of our organisations", id="a stranger"),
    pytest.param({"own": None}, "no entry of its own", id="an organisation without an entry"),
    pytest.param({"own": NtaRecord("x", date(2026, 1, 1), date(2026, 10, 31))}, "not today", id="its entry ended"),
    pytest.param({"own": NtaRecord("x", date(2026, 12, 1), date(2027, 12, 31))}, "not today", id="it starts later"),
    pytest.param({"author": "a@theirs.example"}, "author's domain", id="a domain that it relays for"),
    pytest.param({"author": "a@us.example, b@else.example"}, "author's domain", id="one author of two elsewhere"),
    pytest.param({"author": ""}, "author's domain", id="no author"),
]  # fmt: skip


@pytest.mark.parametrize("answer", [one.values[0] for one in ANSWERS], ids=[one.id for one in ANSWERS])
@pytest.mark.parametrize(("sender", "words"), SENDERS)
async def test_without_a_compliant_sender_nobody_is_asked_and_nothing_is_routed(
    answer: FakeDns, sender: dict[str, object], words: str
) -> None:
    answer.asked.clear()
    (verdict,) = await judge(answer, **sender)  # type: ignore[arg-type]
    assert type(verdict) is Pass
    assert words in verdict.reason
    assert answer.asked == []


@pytest.mark.parametrize("answer", [one.values[0] for one in ANSWERS], ids=[one.id for one in ANSWERS])
@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        pytest.param(NtaEntry(CLINIC, True, "agreed", hosts=("mx:25",)), RouteTo, id="allowed"),
        pytest.param(NtaEntry(CLINIC, True, "agreed", date(2026, 11, 23), ("mx:25",)), RouteTo, id="until today"),
        pytest.param(NtaEntry(CLINIC, False, "forwards"), Pass, id="denied"),
        pytest.param(NtaEntry(CLINIC, False, "forwards", date(2026, 11, 23)), Pass, id="denied until today"),
    ],
)  # fmt: skip
async def test_a_local_entry_wins_over_whatever_is_published(
    answer: FakeDns, entry: NtaEntry, kind: type[Verdict]
) -> None:
    (verdict,) = await judge(answer, entry=entry)
    assert type(verdict) is kind
    assert entry.reason in verdict.reason


@pytest.mark.parametrize("allow", [True, False])
async def test_an_entry_that_ended_is_as_if_it_were_not_there(allow: bool) -> None:
    ended = NtaEntry(CLINIC, allow, "x", date(2026, 11, 22), ("mx:25",) if allow else ())
    assert isinstance((await judge(dns([CURRENT]), entry=ended))[0], RouteTo)
    assert isinstance((await judge(dns(), entry=ended))[0], Pass)


async def test_a_day_ends_in_the_netherlands() -> None:
    """At 23:30 UTC on the last of November it is December already."""
    directory = Directory({"us": ORGANISATION}, {}, {}, {}, {}, nta_provider=NtaProvider({"us": OWN}))
    shown = mail("From: a@us.example\n\n", to=["b@clinic.example"], origin=OURS)
    late = FrozenClock(datetime(2026, 11, 30, 23, 30, tzinfo=UTC).timestamp())
    asked = context(directory, clock=late, nta=NtaDns(dns([CURRENT])), ways=NtaWays())
    (verdict,) = listed(await Nta7516Policy(Options()).judge(shown, Stage.ROUTE, asked))
    assert isinstance(verdict, Pass)


async def test_each_recipient_by_its_domain_and_each_domain_asked_once() -> None:
    answers = FakeDns(
        {("clinic.example", "TXT"): [CURRENT], ("slow.example", "TXT"): Answer.TIMEOUT}, secure=["clinic.example"]
    )
    verdicts = await judge(
        answers, to=("b@clinic.example", "c@clinic.example", "d@slow.example", "e@else.example", "f@[192.0.2.1]")
    )
    assert [(type(one), one.recipients) for one in verdicts] == [
        (RouteTo, ("b@clinic.example", "c@clinic.example")),
        (Defer, ("d@slow.example",)),
        (Pass, ("e@else.example",)),
        (Pass, ("f@[192.0.2.1]",)),
    ]
    assert sorted(name for name, _ in answers.asked) == ["clinic.example", "else.example", "slow.example"]


@pytest.mark.parametrize(
    ("validation", "kind"), [(Validation.OFF, Pass), (Validation.UNTESTED, Defer), (Validation.ON, RouteTo)]
)
async def test_a_resolver_that_does_not_validate_proves_nothing(validation: Validation, kind: type[Verdict]) -> None:
    answers = dns([CURRENT])
    answers.validation = validation
    assert type((await judge(answers))[0]) is kind


async def test_the_providers_header_is_put_on_these_copies_alone() -> None:
    verdicts = await judge(
        dns([CURRENT]), to=("b@clinic.example", "c@else.example"), header=("X-Secure", "yes; agreed")
    )
    (rewrite,) = [one for one in verdicts if isinstance(one, Rewrite)]
    assert (rewrite.recipients, rewrite.drop, rewrite.put) == (
        ("b@clinic.example",),
        ("x-secure",),
        b"X-Secure: yes; agreed\r\n",
    )
    assert not any(isinstance(one, Rewrite) for one in await judge(dns(), header=("X-Secure", "1")))


@pytest.mark.parametrize(("proven", "kind"), [(True, RouteTo), (False, Pass), (None, Defer)])
async def test_a_compliant_domain_whose_hosts_cannot_be_proven_is_left_to_the_viewer(
    proven: bool | None, kind: type[Verdict]
) -> None:
    (verdict,) = await judge(dns([CURRENT]), ways=NtaWays(proven, "mx.clinic.example has no TLSA record"))
    assert type(verdict) is kind
    assert ("mx.clinic.example has no TLSA record" in verdict.reason) == (proven is not True)


async def test_hosts_are_asked_about_only_where_a_record_decides() -> None:
    ways = NtaWays(False)
    entry = NtaEntry(CLINIC, True, "agreed", hosts=("mx:25",))
    assert isinstance((await judge(dns([CURRENT]), entry=entry, ways=ways))[0], RouteTo)
    assert isinstance((await judge(dns(["v=spf1 -all"]), ways=ways))[0], Pass)
    assert ways.asked == 0
