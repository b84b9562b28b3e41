"""Verdicts add up to a plan: one row per rule, and properties for every combination."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address, Domain
from relayd.mail.envelope import Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, Reader, Transformation
from relayd.mail.reply import Reply
from relayd.pipeline.plan import Judged, Plan, make_plan, make_retry_plan
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import (
    Attach,
    Defer,
    Hold,
    Identify,
    Pass,
    Refuse,
    Rewrite,
    RouteKind,
    RouteTarget,
    RouteTo,
    Transform,
    Verdict,
)

A, B, C = (Recipient(Address(name, Domain("x.example"))) for name in "abc")
KA, KB, KC = (one.address.key for one in (A, B, C))
HEADERS = Headers(b"From: me@x.example\r\nSubject: old\r\nX-Private: 1\r\nTo: a@x.example\r\nx-private: 2\r\n")
NOTHING = HeaderPatch()

NO = Reply(550, "5.7.1", "No")
LATER = Reply(451, "4.4.3", "Later")
RELAY = RouteTarget(RouteKind.RELAY, "x.example")
VIEWER = RouteTarget(RouteKind.VIEWER)


def route(*keys: str, to: RouteTarget = RELAY) -> RouteTo:
    return RouteTo("way", keys, route=to)


def refuse(*keys: str, reply: Reply = NO) -> Refuse:
    return Refuse("no", keys, reply=reply)


def defer(*keys: str) -> Defer:
    return Defer("later", keys, reply=LATER)


def at(stage: Stage, *verdicts: Verdict) -> list[Judged]:
    return [Judged("p", stage, verdict, 0.001) for verdict in verdicts]


def message(*verdicts: Verdict) -> list[Judged]:
    return at(Stage.MESSAGE, *verdicts)


def routes(*verdicts: Verdict) -> list[Judged]:
    return at(Stage.ROUTE, *verdicts)


ALL = route(KA, KB, KC)


@dataclass
class Row:
    """``copies``: per copy, its patch and for each recipient key the route (None: undecided) and whether held."""

    rule: str
    judged: list[Judged]
    code: int | None = None
    says: list[str] = field(default_factory=list)
    copies: list[tuple[HeaderPatch, dict[str, tuple[RouteTarget | None, bool]]]] = field(default_factory=list)


def everyone(to: RouteTarget | None = RELAY, *, held: bool = False) -> dict[str, tuple[RouteTarget | None, bool]]:
    return dict.fromkeys((KA, KB, KC), (to, held))


TABLE = [
    Row("a route for each is one copy for all", routes(ALL), copies=[(NOTHING, everyone())]),
    Row("pass says nothing", [*message(Pass("")), *routes(ALL)], copies=[(NOTHING, everyone())]),
    Row(
        "the first route for a recipient wins",
        routes(route(KA, to=VIEWER), ALL),
        copies=[(NOTHING, everyone() | {KA: (VIEWER, False)})],
    ),
    Row("a route at MESSAGE counts too", message(ALL), copies=[(NOTHING, everyone())]),
    Row("a refusal of the message refuses it", [*message(refuse()), *routes(ALL)], 550, ["No"]),
    Row(
        "a refusal of one refuses all, and names the one",
        routes(ALL, refuse(KB)),
        550,
        ["No", "Refused: b@x.example", "Nothing was sent to the others"],
    ),
    Row("a refusal at ROUTE of all names all", routes(refuse(KA, KB, KC)), 550, ["a@x.example, b@x.example, c@x"]),
    Row(
        "a refusal of the whole speaks before one of a recipient",
        message(refuse(KA), refuse(reply=Reply(552, "5.3.4", "Too big"))),
        552,
        ["Too big"],
    ),
    Row("a refusal wins over a deferral", [*message(defer()), *routes(refuse(KA))], 550),
    Row("a deferral of the message defers it", [*message(defer()), *routes(ALL)], 451, ["Later"]),
    Row("a deferral of one at MESSAGE defers all", [*message(defer(KA)), *routes(ALL)], 451, ["Later"]),
    Row(
        "a deferral of one at ROUTE leaves it undecided",
        routes(defer(KB), ALL),
        copies=[(NOTHING, everyone() | {KB: (None, False)})],
    ),
    Row("a deferral of all at ROUTE defers the message", routes(defer(KA), defer(KB, KC)), 451, ["Later"]),
    Row("a deferral after a route changes nothing", routes(ALL, defer(KA)), copies=[(NOTHING, everyone())]),
    Row("no route is a refusal", routes(route(KA, KB)), 550, ["no secure way", "Refused: c@x.example"]),
    Row("no route for anyone is a refusal", [], 550, ["no secure way"]),
    Row("no route beside a deferral is a refusal", routes(defer(KA), route(KB)), 550, ["c@x.example"]),
    Row(
        "what was said at RCPT about others doesn't count again",
        [*at(Stage.RECIPIENT, refuse("gone@x.example"), defer(KA)), *routes(ALL)],
        copies=[(NOTHING, everyone())],
    ),
    Row("a hold holds everyone", [*message(Hold("why")), *routes(ALL)], copies=[(NOTHING, everyone(held=True))]),
    Row(
        "a hold of one holds one",
        [*at(Stage.SENDER, Hold("why", (KC,))), *routes(ALL)],
        copies=[(NOTHING, everyone() | {KC: (RELAY, True)})],
    ),
    Row(
        "an undecided recipient can be held",
        [*message(Hold("why", (KA,))), *routes(defer(KA), ALL)],
        copies=[(NOTHING, everyone() | {KA: (None, True)})],
    ),
    Row(
        "dropped names become field numbers",
        [*message(Rewrite("r", drop=("X-Private",))), *routes(ALL)],
        copies=[(HeaderPatch((2, 4)), everyone())],
    ),
    Row(
        "a new subject drops the old and is put in front",
        [*message(Rewrite("r", subject="new")), *routes(ALL)],
        copies=[(HeaderPatch((1,), b"Subject: new\r\n"), everyone())],
    ),
    Row(
        "a subject beyond ASCII is an encoded word",
        [*message(Rewrite("r", subject="caf\u00e9")), *routes(ALL)],
        copies=[(HeaderPatch((1,), b"Subject: =?utf-8?b?Y2Fmw6k=?=\r\n"), everyone())],
    ),
    Row(
        "a subject can't add lines",
        [*message(Rewrite("r", subject="a\r\nBcc: all@x.example")), *routes(ALL)],
        copies=[(HeaderPatch((1,), b"Subject: a Bcc: all@x.example\r\n"), everyone())],
    ),
    Row(
        "rewrites add up in order, and the last subject wins",
        [
            *message(Rewrite("r", put=b"X-1: a\r\n", subject="one"), Rewrite("r", put=b"X-2: b\r\n", subject="two")),
            *routes(ALL),
        ],
        copies=[(HeaderPatch((1,), b"X-1: a\r\nX-2: b\r\nSubject: two\r\n"), everyone())],
    ),
    Row(
        "a rewrite for one makes a copy of its own",
        [*message(Rewrite("r", (KB,), put=b"X-1: a\r\n")), *routes(ALL)],
        copies=[
            (NOTHING, {KA: (RELAY, False), KC: (RELAY, False)}),
            (HeaderPatch(put=b"X-1: a\r\n"), {KB: (RELAY, False)}),
        ],
    ),
    Row(
        "two rewrites with the same effect share a copy",
        [*message(Rewrite("r", (KA,), drop=("to",)), Rewrite("r", (KB, KC), drop=("To",))), *routes(ALL)],
        copies=[(HeaderPatch((3,)), everyone())],
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.rule)
def test_each_rule(row: Row) -> None:
    plan = make_plan(row.judged, HEADERS, (A, B, C), 1.0)
    assert (plan.reply.code if plan.reply else None) == row.code
    assert all(text in str(plan.reply) for text in row.says), plan.reply
    assert shape(plan) == row.copies


def shape(plan: Plan) -> list[tuple[HeaderPatch, dict[str, tuple[RouteTarget | None, bool]]]]:
    return [
        (copy.patch, {one.recipient.address.key: (one.route, one.held) for one in copy.deliveries})
        for copy in plan.copies
    ]


def test_more_than_three_refused_are_counted_not_named() -> None:
    many = [Recipient(Address(f"r{number}", Domain("x.example"))) for number in range(10)]
    keys = [one.address.key for one in many]
    plan = make_plan(routes(refuse(*keys[:4]), route(*keys[4:])), HEADERS, many, 1.0)
    assert plan.reply is not None
    assert "Refused: 4 of 10 recipients" in plan.reply.text
    assert "r0@" not in plan.reply.text


def test_an_address_that_ascii_cannot_show_is_counted() -> None:
    recipient = Recipient(Address("jos\u00e9", Domain("x.example")))
    plan = make_plan([], HEADERS, [recipient], 1.0)
    assert plan.reply is not None
    assert plan.reply.text.isascii()


def test_readers_and_the_proven_organisation_come_with_the_plan_and_stay_out_of_its_repr_and_record() -> None:
    judged = [
        *message(Identify("proof", organisation="north")),
        *routes(ALL, Attach("number", readers=((KA, Reader(mobile="+31612345678")),))),
    ]
    plan = make_plan(judged, HEADERS, (A, B, C), 1.0)
    assert plan.readers == {KA: Reader(mobile="+31612345678")}
    assert plan.organisation == "north"
    assert "612345678" not in str(plan.events)


def test_all_verdicts_are_one_journal_record_with_equal_ones_joined() -> None:
    judged = [*at(Stage.RECIPIENT, Pass("fine", (KA,)), Pass("fine", (KB,)), Pass("fine", (KC,))), *routes(ALL)]
    (event,) = make_plan(judged, HEADERS, (A, B, C), 7.0).events
    assert (event.at, event.kind) == (7.0, "judged")
    passed, routed = event.facts["verdicts"]
    assert passed == {
        "policy": "p",
        "stage": "recipient",
        "verdict": "pass",
        "reason": "fine",
        "recipients": [KA, KB, KC],
        "ms": 1.0,
    }
    assert (routed["verdict"], routed["route"], routed["target"]) == ("route", "relay", "x.example")


def test_on_retry_each_recipient_is_judged_for_itself() -> None:
    plan = make_retry_plan(routes(route(KA), defer(KB)), HEADERS, (A, B, C), 1.0)
    assert plan.reply is None
    assert shape(plan) == [(NOTHING, {KA: (RELAY, False), KB: (None, False)})]
    assert plan.undecided == (B,)
    assert list(plan.refused) == [KC]


RECIPIENTS = st.integers(0, 12).map(
    lambda count: tuple(Recipient(Address(f"r{number}", Domain("x.example"))) for number in range(count))
)
KEYS = st.lists(st.integers(0, 12).map("r{}@x.example".format), max_size=6).map(tuple)
VERDICTS = st.one_of(
    st.builds(Pass, st.just("x"), KEYS),
    st.builds(lambda keys: route(*keys), KEYS),
    st.builds(lambda keys: route(*keys, to=VIEWER), KEYS),
    st.builds(lambda keys: defer(*keys), KEYS),
    st.builds(lambda keys: refuse(*keys), KEYS),
    st.builds(Hold, st.just("x"), KEYS),
    st.builds(
        lambda keys, drop, subject: Rewrite("x", keys, drop=drop, subject=subject),
        KEYS,
        st.lists(st.sampled_from(["x-private", "to", "absent"]), max_size=2).map(tuple),
        st.none() | st.text(max_size=80),
    ),
)
JUDGED = st.lists(st.builds(Judged, st.just("p"), st.sampled_from(list(Stage)), VERDICTS, st.just(0.0)), max_size=12)


@given(JUDGED, RECIPIENTS)
def test_every_recipient_of_an_accepted_message_is_in_exactly_one_copy(
    judged: list[Judged], recipients: tuple[Recipient, ...]
) -> None:
    plan = make_plan(judged, HEADERS, recipients, 1.0)
    planned = [one.recipient.address.key for copy in plan.copies for one in copy.deliveries]
    if plan.reply is not None:
        assert planned == []
        assert not plan.reply.positive
    else:
        assert sorted(planned) == sorted(one.address.key for one in recipients)
        assert len(plan.undecided) < max(len(recipients), 1)


@given(JUDGED, RECIPIENTS)
def test_a_patch_only_ever_adds_whole_lines(judged: list[Judged], recipients: tuple[Recipient, ...]) -> None:
    for copy in make_plan(judged, HEADERS, recipients, 1.0).copies:
        assert copy.patch.put == b"" or copy.patch.put.endswith(b"\r\n")
        for line in copy.patch.put.split(b"\r\n")[:-1]:
            assert line.startswith((b"Subject: ", b" "))
            assert b"\r" not in line
            assert b"\n" not in line


@given(JUDGED, RECIPIENTS)
def test_on_retry_every_recipient_gets_a_route_a_refusal_or_another_wait(
    judged: list[Judged], recipients: tuple[Recipient, ...]
) -> None:
    plan = make_retry_plan(judged, HEADERS, recipients, 1.0)
    planned = [one.recipient.address.key for copy in plan.copies for one in copy.deliveries]
    ours = {one.address.key for one in recipients}
    assert sorted([*planned, *(key for key in plan.refused if key in ours)]) == sorted(ours)


HTML = Transformation("edi", (("form", "html"),), ("1",))
PDF = Transformation("edi", (("form", "pdf"),), ("1",))


def test_recipients_share_a_copy_only_when_it_is_made_in_the_same_way() -> None:
    judged = [
        *at(Stage.ROUTE, Transform("", (KA,), transformation=HTML), Transform("", (KB,), transformation=PDF)),
        *at(Stage.ROUTE, route(KA, KB, KC)),
    ]
    plan = make_plan(judged, HEADERS, (A, B, C), 0.0)
    assert [copy.transformation for copy in plan.copies] == [HTML, PDF, None]
    assert [len(copy.deliveries) for copy in plan.copies] == [1, 1, 1]


def test_the_first_transform_for_a_recipient_wins_and_is_told_without_the_parts() -> None:
    transforms = [Transform("a", (KA,), transformation=HTML), Transform("b", transformation=PDF)]
    plan = make_plan([*at(Stage.ROUTE, *transforms, route(KA, KB))], HEADERS, (A, B), 0.0)
    assert [copy.transformation for copy in plan.copies] == [HTML, PDF]
    told = plan.events[0].facts["verdicts"][0]
    assert (told["verdict"], told["transform"], told["form"]) == ("transform", "edi", "html")
    assert "parts" not in told
