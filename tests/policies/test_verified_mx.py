"""Confidential mail by MX: only where the way is proven, never for strangers, and open where DNS can't tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from policies.verified_mx import VerifiedMxPolicy
from relayd.directory.directory import STRANGER, Origin, Via
from relayd.mail.address import Domain
from relayd.pipeline import lookups
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import Defer, MessageClass, Pass, RouteKind, RouteTarget, RouteTo, Verdict
from relayd.tls.decision import Standing
from tests.kit.judging import context, listed, mail

OURS = Origin(Via.NETWORK, ("us",))
BY_MX = RouteTarget(RouteKind.RELAY, "", MessageClass.CONFIDENTIAL)
TO = ("a@proven.example", "b@plain.example", "c@open.example", "d@proven.example")


class ToldWays:
    """``proven``: True or False, None for "can't tell", and no entry for a domain that never answers."""

    def __init__(self, proven: Mapping[str, bool | None]) -> None:
        self._proven = proven
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def proven(self, domain: Domain) -> Standing:
        self.asked.append(domain)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await (asyncio.sleep(0) if domain in self._proven else asyncio.Event().wait())
        finally:
            self.at_once -= 1
        return Standing(self._proven[domain], f"as {domain} is")


def ways() -> ToldWays:
    return ToldWays({"proven.example": True, "plain.example": False, "open.example": None})


async def judge(known: ToldWays, *, to: tuple[str, ...] = TO, origin: Origin = OURS, head: str = "") -> list[Verdict]:
    shown = mail(f"{head}From: x@us.example\n\n", sender="x@us.example", to=to, origin=origin)
    return listed(await VerifiedMxPolicy(Options()).judge(shown, Stage.ROUTE, context(ways=known)))


async def test_each_recipient_by_the_domain() -> None:
    known = ways()
    found = await judge(known)
    assert [(type(verdict), verdict.recipients) for verdict in found] == [
        (RouteTo, ("a@proven.example", "d@proven.example")),
        (Pass, ("b@plain.example",)),
        (Defer, ("c@open.example",)),
    ]
    assert [verdict.route for verdict in found if isinstance(verdict, RouteTo)] == [BY_MX]
    assert [verdict.reply.code for verdict in found if isinstance(verdict, Defer)] == [451]
    assert sorted(known.asked) == ["open.example", "plain.example", "proven.example"]
    assert all(verdict.reason.startswith("as ") for verdict in found)


@pytest.mark.parametrize(
    ("origin", "head"),
    [
        pytest.param(STRANGER, "", id="a stranger"),
        pytest.param(Origin(Via.NETWORK, ("us", "them")), "", id="a platform without a proof"),
        pytest.param(OURS, "Subject: [sms:+31612345678]\n", id="a number in the subject"),
        pytest.param(OURS, "X-Relayd-Mobile: nonsense\n", id="a number that can't be read"),
    ],
)
async def test_who_is_left_to_the_policies_behind(origin: Origin, head: str) -> None:
    known = ways()
    (verdict,) = await judge(known, origin=origin, head=head)
    assert isinstance(verdict, Pass)
    assert known.asked == []


async def test_a_number_for_one_recipient_leaves_that_one_to_the_viewer() -> None:
    known = ToldWays({"proven.example": True})
    head = "X-Relayd-Mobile: a@proven.example; +31612345678\n"
    (verdict,) = await judge(known, to=("a@proven.example", "d@proven.example"), head=head)
    assert verdict.recipients == ("d@proven.example",)


async def test_what_takes_too_long_is_deferred_and_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_BUDGET", 0.05)
    known = ToldWays({"proven.example": True})
    found = await judge(known, to=("a@proven.example", "b@never.example"))
    assert [type(verdict) for verdict in found] == [RouteTo, Defer]
    assert known.at_once == 0


async def test_a_thousand_domains_are_not_asked_about_at_once() -> None:
    names = [f"d{n}.example" for n in range(1000)]
    known = ToldWays(dict.fromkeys(names, True))
    found = await judge(known, to=tuple(f"a@{name}" for name in names))
    assert len(found) == 1000
    assert known.most_at_once <= 20


async def test_a_defect_is_no_answer() -> None:
    class Broken(ToldWays):
        async def proven(self, domain: Domain) -> Standing:
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        await judge(Broken({}))


async def test_nobody_to_look_for() -> None:
    assert await judge(ways(), to=()) == []
