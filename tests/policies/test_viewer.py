"""The Viewer gets who has no secure route, with a mobile number that a recognised sender gave."""

from __future__ import annotations

from time import process_time

import pytest

from policies.plain import PlainPolicy
from policies.viewer import ViewerOptions, ViewerPolicy
from relayd.directory.directory import Directory, Organisation, OrganisationSettings, Origin, Via
from relayd.mail.address import Domain
from relayd.mail.meta import Reader
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import Attach, MessageClass, Refuse, Rewrite, RouteKind, RouteTo, Verdict
from tests.kit.judging import STRANGER, context, listed, mail

MOBILE = "+31612345678"
CLINIC = Origin(Via.NETWORK, ("clinic",))


def directory(**settings: bool) -> Directory:
    clinic = Organisation(
        "clinic",
        "Clinic",
        frozenset({Domain("clinic.example")}),
        settings=OrganisationSettings(**settings),  # type: ignore[arg-type]
        contacts={"known@outside.example": "+31687654321"},
    )
    return Directory({"clinic": clinic}, {}, {}, {}, {})


async def judge(
    head: str, *to: str, stage: Stage = Stage.ROUTE, origin: Origin = CLINIC, **settings: bool
) -> list[Verdict]:
    content = f"From: d@clinic.example\n{head}\nHi\n"
    shown = mail(content, sender="d@clinic.example", to=to or ["p@outside.example"], origin=origin)
    return listed(await ViewerPolicy(ViewerOptions()).judge(shown, stage, context(directory(**settings))))


def mobiles(verdicts: list[Verdict]) -> dict[str, str]:
    return {key: one.mobile for said in verdicts if isinstance(said, Attach) for key, one in said.readers}


def readers(verdicts: list[Verdict]) -> dict[str, Reader]:
    return dict(pair for said in verdicts if isinstance(said, Attach) for pair in said.readers)


def viewed(verdicts: list[Verdict]) -> set[str]:
    routes = [verdict for verdict in verdicts if isinstance(verdict, RouteTo)]
    assert all(verdict.route.kind is RouteKind.VIEWER for verdict in routes)
    return {key for verdict in routes for key in verdict.recipients}


def refusals(verdicts: list[Verdict]) -> list[Refuse]:
    return [verdict for verdict in verdicts if isinstance(verdict, Refuse)]


@pytest.mark.parametrize(
    "head",
    [
        f"X-Relayd-Mobile: p@outside.example; {MOBILE}\n",
        f"x-relayd-mobile:\tP@OUTSIDE.example;{MOBILE}  \n",
        f"X-Relayd-Mobile: p@outside.example;\n  {MOBILE}\n",
        "X-Relayd-Mobile: p@outside.example; +31 6 1234 5678\n",
        f"Subject: Results [sms:{MOBILE}]\n",
        f"Subject: [SMS: {MOBILE} ] results\n",
        "Subject: =?utf-8?q?Uitslag_=5Bsms=3A+31612345678=5D?=\n",
        f"X-Relayd-Mobile: p@outside.example; {MOBILE}\nX-Relayd-Mobile: p@outside.example; {MOBILE}\n",
    ],
)
async def test_the_sender_gives_the_number(head: str) -> None:
    verdicts = await judge(head)
    assert mobiles(verdicts) == {"p@outside.example": MOBILE}
    assert viewed(verdicts) == {"p@outside.example"}


async def test_the_contacts_give_the_number_when_the_message_does_not() -> None:
    assert mobiles(await judge("Subject: x\n", "known@outside.example")) == {"known@outside.example": "+31687654321"}
    nearer = await judge(f"X-Relayd-Mobile: known@outside.example; {MOBILE}\n", "known@outside.example")
    assert mobiles(nearer) == {"known@outside.example": MOBILE}


@pytest.mark.parametrize(
    "number",
    [
        "0612345678",
        "+31201234567",  # a landline
        "+31612",
        "+447400123456",  # a country that isn't allowed
        "+31900123456",
        "",
        "+316123456789012345",
        "+31612345678;ext=7",
        "tel:+31612345678",
    ],
)
async def test_a_number_that_is_no_allowed_mobile_is_refused_and_never_repeated(number: str) -> None:
    verdicts = await judge(f"X-Relayd-Mobile: p@outside.example; {number}\n")
    assert not viewed(verdicts)
    assert not mobiles(verdicts)
    (refused,) = refusals(verdicts)
    assert (refused.reply.code, refused.reply.enhanced) == (550, "5.7.1")
    assert not number or number not in refused.reply.text + refused.reason


@pytest.mark.parametrize(
    ("head", "advice"),
    [
        ("Subject: Results\n", "[sms:+31612345678] in the subject"),
        ("X-Relayd-Mobile: p@outside.example; 0687654321\n", "must begin with + and the country code"),
        ("X-Relayd-Mobile: p@outside.example; +31201234567\n", "allowed country (NL, BE, DE, LU)"),
    ],
)
async def test_a_refusal_says_what_the_sender_can_do(head: str, advice: str) -> None:
    (refused,) = refusals(await judge(head))
    assert advice in refused.reply.text


async def test_countries_are_a_setting() -> None:
    policy = ViewerPolicy(ViewerOptions(countries=("GB",)))
    content = "From: d@clinic.example\nX-Relayd-Mobile: p@outside.example; +447400123456\n\nHi\n"
    shown = mail(content, sender="d@clinic.example", to=["p@outside.example"], origin=CLINIC)
    assert viewed(listed(await policy.judge(shown, Stage.ROUTE, context(directory()))))


@pytest.mark.parametrize(
    ("head", "to"),
    [
        (f"Subject: [sms:{MOBILE}]\n", ["p@outside.example", "q@outside.example"]),
        (f"Subject: [sms:{MOBILE}] [sms:+31687654321]\n", ["p@outside.example"]),
        (f"X-Relayd-Mobile: p@outside.example; {MOBILE}\nX-Relayd-Mobile: p@outside.example; +31687654321\n", []),
        (f"X-Relayd-Mobile: {MOBILE}\n", []),
        ("X-Relayd-Mobile: \n", []),
        ("X-Relayd-Mobile: \xff\xfe; +31612345678\n", []),
        ("Subject: nothing\n", []),
    ],
)
async def test_what_cannot_be_followed_is_refused_for_everyone_it_concerns(head: str, to: list[str]) -> None:
    verdicts = await judge(head, *to)
    assert not viewed(verdicts)
    assert {key for refused in refusals(verdicts) for key in refused.recipients} == set(to or ["p@outside.example"])


async def test_several_recipients_each_have_their_own_number() -> None:
    head = f"X-Relayd-Mobile: p@outside.example; {MOBILE}\nX-Relayd-Mobile: q@outside.example; +31687654321\n"
    verdicts = await judge(head, "p@outside.example", "q@outside.example")
    assert mobiles(verdicts) == {"p@outside.example": MOBILE, "q@outside.example": "+31687654321"}


@pytest.mark.parametrize("origin", [STRANGER, Origin(Via.NETWORK, ("clinic", "other"), "platform")])
async def test_only_a_known_organisations_numbers_are_honoured(origin: Origin) -> None:
    verdicts = await judge(f"X-Relayd-Mobile: p@outside.example; {MOBILE}\n", origin=origin)
    assert not viewed(verdicts)
    assert not mobiles(verdicts)


@pytest.mark.parametrize("origin", [STRANGER, CLINIC])
async def test_numbers_leave_every_copy_whoever_wrote_them(origin: Origin) -> None:
    head = f"X-Relayd-Mobile: a@x.example; {MOBILE}\nSubject: Your [sms:{MOBILE}] results\n"
    (verdict,) = await judge(head, stage=Stage.MESSAGE, origin=origin)
    assert isinstance(verdict, Rewrite)
    assert verdict.drop == ("x-relayd-mobile",)
    assert verdict.subject == "Your results"
    assert verdict.recipients == ()


async def test_tags_that_never_close_cost_no_time() -> None:
    before = process_time()
    await judge("Subject: " + "[sms:" * 40_000 + "\n", stage=Stage.MESSAGE, origin=STRANGER)
    assert process_time() - before < 5  # it was minutes


async def test_a_message_without_numbers_is_left_alone() -> None:
    assert not any(isinstance(one, Rewrite) for one in await judge("Subject: sms: hello\n", stage=Stage.MESSAGE))


async def plainly(head: str, *to: str, origin: Origin = CLINIC, **settings: bool) -> set[str]:
    content = f"From: d@clinic.example\n{head}\nHi\n"
    shown = mail(content, sender="d@clinic.example", to=to or ["p@outside.example"], origin=origin)
    verdicts = listed(await PlainPolicy(Options()).judge(shown, Stage.ROUTE, context(directory(**settings))))
    routes = [verdict for verdict in verdicts if isinstance(verdict, RouteTo)]
    assert all(one.route.message_class is MessageClass.ORDINARY and one.route.target == "" for one in routes)
    return {key for one in routes for key in one.recipients}


async def test_plain_leaves_only_for_organisations_that_allow_it() -> None:
    assert await plainly("Subject: x\n") == set()
    assert await plainly("Subject: x\n", allow_plain=True) == {"p@outside.example"}
    assert await plainly("Subject: x\n", allow_plain=True, origin=STRANGER) == set()


async def test_plain_leaves_alone_who_was_given_a_number() -> None:
    head = f"X-Relayd-Mobile: p@outside.example; {MOBILE}\n"
    assert await plainly(head, "p@outside.example", "q@outside.example", allow_plain=True) == {"q@outside.example"}
    assert await plainly(f"Subject: [sms:{MOBILE}]\n", allow_plain=True) == set()


async def test_an_access_code_of_the_sender_comes_before_a_number() -> None:
    verdicts = await judge(
        f"X-Relayd-Access-Code: p@outside.example; Zilveren-Fiets-7\nX-Relayd-Mobile: p@outside.example; {MOBILE}\n"
    )
    assert readers(verdicts) == {"p@outside.example": Reader(access_code="Zilveren-Fiets-7")}
    assert "Zilveren" not in " ".join(one.reason for one in verdicts)


async def test_a_short_access_code_is_refused_with_what_to_do() -> None:
    (refusal,) = refusals(await judge("X-Relayd-Access-Code: p@outside.example; kort\n"))
    assert "at least 8" in refusal.reply.text
    assert "kort" not in refusal.reply.text


async def test_a_code_tag_counts_for_one_recipient() -> None:
    verdicts = await judge("Subject: Hallo [code:Zilveren-Fiets-7]\n")
    assert readers(verdicts) == {"p@outside.example": Reader(access_code="Zilveren-Fiets-7")}


async def test_where_no_number_is_known_the_organisation_may_allow_a_code_by_e_mail() -> None:
    assert refusals(await judge("Subject: x\n"))
    verdicts = await judge("Subject: x\n", code_by_email=True)
    assert readers(verdicts) == {"p@outside.example": Reader(email=True)}
    assert "one channel" in " ".join(one.reason for one in verdicts)
    assert readers(await judge(f"Subject: [sms:{MOBILE}]\n", code_by_email=True)) == {
        "p@outside.example": Reader(mobile=MOBILE)
    }


async def test_access_codes_leave_every_copy() -> None:
    head = "Subject: Hallo [code:Zilveren-Fiets-7] u\nX-Relayd-Access-Code: p@outside.example; Zilveren-Fiets-7\n"
    (verdict,) = await judge(head, stage=Stage.MESSAGE)
    assert isinstance(verdict, Rewrite)
    assert verdict.drop == ("x-relayd-access-code",)
    assert verdict.subject == "Hallo u"
