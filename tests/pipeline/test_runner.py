"""The runner asks in order, hides nothing that a policy gets wrong, and survives all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest
import structlog

from relayd.directory.directory import STRANGER, Directory, Origin, Via
from relayd.mail.address import Address, Domain
from relayd.mail.envelope import Envelope, Listener, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import Transformation
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Inspection, InspectionLimits, Mail, OnError, Options, Policy, Stage
from relayd.pipeline.runner import Pipeline, Step, answer
from relayd.pipeline.verdict import (
    Defer,
    Hold,
    Identify,
    MessageClass,
    Pass,
    Redirect,
    Refuse,
    Rewrite,
    RouteKind,
    RouteTarget,
    RouteTo,
    Transform,
    Verdict,
)

NO = Reply(550, "5.7.1", "No")
LATER = Reply(451, "4.4.3", "Later")
RELAY = RouteTarget(RouteKind.RELAY, "x.example")
A, B, C = (Recipient(Address(name, Domain("x.example"))) for name in "abc")
KA, KB, KC = (one.address.key for one in (A, B, C))
ROUTE_ALL = RouteTo("way", route=RELAY)


@dataclass
class StillClock:
    at: float = 1_000.0

    def now(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at


class NoFiles:
    async def inspect(self, mail: Mail, limits: InspectionLimits) -> Inspection:
        return Inspection(())


CONTEXT = Context(Directory({}, {}, {}, {}, {}), limits=None, inspector=NoFiles(), clock=StillClock())  # type: ignore[arg-type]


@dataclass
class Asked:
    """What a scripted policy was shown."""

    mails: list[Mail] = field(default_factory=list)


def step(
    *stages: Stage,
    says: Callable[[Mail], Any] = lambda mail: [],
    on_error: OnError = OnError.DEFER,
    timeout: float = 5.0,
    name: str = "scripted",
) -> tuple[Step, Asked]:
    """A policy at ``stages`` that says what ``says`` returns, or raises what it raises."""
    asked = Asked()

    class Scripted(Policy[Options]):
        async def judge(self, mail: Mail, stage: Stage, context: Context) -> Any:
            asked.mails.append(mail)
            said = says(mail)
            return await said if asyncio.iscoroutine(said) else said

    Scripted.name = name
    Scripted.stages = frozenset(stages)
    return Step(Scripted(Options()), timeout, on_error), asked


def mail(origin: Origin = STRANGER, recipients: tuple[Recipient, ...] = (A, B, C)) -> Mail:
    return Mail(
        id="m1",
        peer=Peer(ip_address("192.0.2.1"), 1, Listener.RELAY),
        origin=origin,
        envelope=Envelope(Address("s", Domain("s.example")), recipients),
        recipients=recipients,
        headers=Headers(b"Subject: x\r\n"),
    )


def raising(error: Exception) -> Callable[[Mail], Any]:
    def say(mail: Mail) -> Any:
        raise error

    return say


async def hang(mail: Mail) -> Verdict:
    await asyncio.Event().wait()
    return Pass("never")


async def test_policies_are_asked_in_order_until_one_answers_the_command() -> None:
    first, _ = step(Stage.SENDER, says=lambda mail: Pass("ok"))
    second, _ = step(Stage.SENDER, says=lambda mail: Refuse("no", reply=NO))
    third, asked = step(Stage.SENDER)
    judged = await Pipeline((first, second, third)).judge_sender(mail(), CONTEXT)
    assert [type(one.verdict) for one in judged] == [Pass, Refuse]
    assert answer(judged) == NO
    assert asked.mails == []


async def test_a_policy_is_asked_at_its_stages_only() -> None:
    one, asked = step(Stage.RECIPIENT)
    pipeline = Pipeline((one,))
    assert await pipeline.judge_sender(mail(), CONTEXT) == []
    judged = await pipeline.judge_recipient(mail(recipients=(A,)), CONTEXT)
    assert answer(judged) is None
    assert len(asked.mails) == 1


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (raising(RuntimeError("the subject was: secret")), "RuntimeError"),
        (raising(TimeoutError()), "timeout"),
        (hang, "timeout"),
        (lambda mail: "pass", "impossible verdict: str"),
        (lambda mail: None, "impossible verdict: NoneType"),
        (lambda mail: [Pass("x"), 7], "impossible verdict: int"),
        (lambda mail: Refuse("no", reply=LATER), "impossible verdict: a refusal needs a 5yz reply"),
        (lambda mail: Defer("no", reply=NO), "impossible verdict: a deferral needs a 4yz reply"),
        (
            lambda mail: RouteTo("x", route=RouteTarget(RouteKind.RELAY, "", MessageClass.NOTICE)),
            "impossible verdict: only relayd's own mail is a notice",
        ),
        (
            lambda mail: Rewrite("x", put=b"X-A: b"),
            "impossible verdict: put must be whole header lines that end in CRLF",
        ),
        (
            lambda mail: Rewrite("x", put=b"X-A: b\r\n\r\nbody\r\n"),
            "impossible verdict: put must be whole header lines",
        ),
        (
            lambda mail: Hold("x", ("nobody@x.example",)),
            "impossible verdict: it names a recipient that it wasn't asked about",
        ),
        (lambda mail: Identify("x", organisation="other"), "impossible verdict: the sender can't be that organisation"),
        (
            lambda mail: RouteTo("x", route=RouteTarget(RouteKind.FOLDER, "nowhere")),
            "impossible verdict: relayd.yaml has no folder called nowhere",
        ),
        (
            lambda mail: Redirect("x", to=A.address),
            "impossible verdict: recipients are redirected by name, at the stage message",
        ),
        (
            lambda mail: Transform("x", transformation=Transformation("rot13")),
            "impossible verdict: there is no transform rot13",
        ),
    ],
)
@pytest.mark.parametrize(("on_error", "code"), [(OnError.DEFER, 451), (OnError.REFUSE, 554), (OnError.SKIP, None)])
async def test_a_failing_policy_means_what_on_error_says(
    says: Callable[[Mail], Any], error: str, on_error: OnError, code: int | None
) -> None:
    failing, _ = step(Stage.MESSAGE, says=says, on_error=on_error, timeout=0.01)
    routing, _ = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    with structlog.testing.capture_logs() as logs:
        plan = await Pipeline((failing, routing)).judge_message(mail(), CONTEXT)
    assert (plan.reply.code if plan.reply else None) == code
    assert plan.judged[0].error.startswith(error)
    (entry,) = logs
    assert entry["event"] == "policy failed"
    assert "secret" not in str(entry) + str(plan.events)


async def test_being_cancelled_is_no_failure_of_the_policy() -> None:
    started = asyncio.Event()

    async def wait(mail: Mail) -> Verdict:
        started.set()
        return await hang(mail)

    slow, _ = step(Stage.MESSAGE, says=wait)
    task = asyncio.create_task(Pipeline((slow,)).judge_message(mail(), CONTEXT))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_route_policy_is_asked_about_those_without_a_route_or_deferral() -> None:
    one, first = step(Stage.ROUTE, says=lambda mail: RouteTo("x", (KA,), route=RELAY))
    two, second = step(Stage.ROUTE, says=lambda mail: Defer("x", (KB,), reply=LATER))
    three, third = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    four, fourth = step(Stage.ROUTE)
    plan = await Pipeline((one, two, three, four)).judge_message(mail(), CONTEXT)
    assert [asked.mails[0].recipients for asked in (first, second, third)] == [(A, B, C), (B, C), (C,)]
    assert fourth.mails == []
    assert plan.reply is None
    assert plan.undecided == (B,)


async def test_a_refusal_ends_the_questions() -> None:
    refusing, _ = step(Stage.MESSAGE, says=lambda mail: Refuse("no", reply=NO))
    later, asked = step(Stage.MESSAGE, Stage.ROUTE)
    plan = await Pipeline((refusing, later)).judge_message(mail(), CONTEXT)
    assert plan.reply == NO
    assert asked.mails == []


async def test_a_proof_shows_later_policies_who_sends() -> None:
    origin = Origin(Via.NETWORK, ("north", "south"), platform="cloud")
    proving, _ = step(Stage.MESSAGE, says=lambda mail: Identify("proof", organisation="south"))
    routing, asked = step(Stage.MESSAGE, Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    plan = await Pipeline((proving, routing)).judge_message(mail(origin), CONTEXT)
    assert plan.organisation == "south"
    assert {seen.origin.organisation for seen in asked.mails} == {"south"}


async def test_without_its_proof_a_tenant_is_a_stranger_from_there_on() -> None:
    origin = Origin(Via.NETWORK, ("north", "south"), platform="cloud")
    proving, _ = step(Stage.MESSAGE, says=lambda mail: Identify("no proof", organisation=""))
    routing, asked = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    plan = await Pipeline((proving, routing)).judge_message(mail(origin), CONTEXT)
    assert plan.organisation == ""
    assert asked.mails[0].origin == STRANGER


async def test_what_was_judged_at_mail_and_rcpt_is_in_the_one_record() -> None:
    early, _ = step(Stage.SENDER, says=lambda mail: Pass("known"), name="early")
    routing, _ = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL, name="late")
    pipeline = Pipeline((early, routing))
    judged = await pipeline.judge_sender(mail(), CONTEXT)
    plan = await pipeline.judge_message(mail(), CONTEXT, earlier=judged)
    (event,) = plan.events
    assert [(one["policy"], one["stage"]) for one in event.facts["verdicts"]] == [
        ("early", "sender"),
        ("late", "route"),
    ]


async def test_on_retry_a_refusal_is_the_recipients_own_and_others_go_on() -> None:
    refusing, _ = step(Stage.ROUTE, says=lambda mail: Refuse("no", (KA,), reply=NO))
    routing, asked = step(Stage.ROUTE, says=lambda mail: RouteTo("x", (KB,), route=RELAY))
    failing, _ = step(Stage.ROUTE, says=raising(OSError()))
    plan = await Pipeline((refusing, routing, failing)).judge_routes(mail(), CONTEXT)
    assert plan.reply is None
    assert plan.refused == {KA: NO}
    assert asked.mails[0].recipients == (B, C)
    assert plan.undecided == (C,)


async def test_at_retry_message_policies_are_not_asked() -> None:
    once, asked = step(Stage.MESSAGE)
    routing, _ = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    await Pipeline((once, routing)).judge_routes(mail(), CONTEXT)
    assert asked.mails == []


async def test_a_redirected_recipient_is_the_mailbox_from_there_on() -> None:
    holding, _ = step(Stage.MESSAGE, says=lambda mail: Hold("first look", (KA,)))
    redirecting, _ = step(Stage.MESSAGE, says=lambda mail: Redirect("stands for it", (KA,), to=C.address))
    later, asked = step(Stage.MESSAGE)
    routing, _ = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    plan = await Pipeline((holding, redirecting, later, routing)).judge_message(mail(recipients=(A, B)), CONTEXT)
    assert [one.address.key for one in asked.mails[0].recipients] == [KC, KB]
    deliveries = [one for copy in plan.copies for one in copy.deliveries]
    assert [(str(one.recipient.address), one.held) for one in deliveries] == [
        (str(C.address), True),
        (str(B.address), False),
    ]
    assert [one.recipient.orcpt for one in deliveries] == [f"rfc822;{A.address}", None]


async def test_two_recipients_that_are_one_mailbox_get_one_copy() -> None:
    redirecting, _ = step(Stage.MESSAGE, says=lambda mail: Redirect("stands for it", (KA,), to=B.address))
    routing, _ = step(Stage.ROUTE, says=lambda mail: ROUTE_ALL)
    plan = await Pipeline((redirecting, routing)).judge_message(mail(recipients=(A, B)), CONTEXT)
    assert [str(one.recipient.address) for copy in plan.copies for one in copy.deliveries] == [str(B.address)]
