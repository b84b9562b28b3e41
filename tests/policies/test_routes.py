"""The domainbook: which entry gives which route."""

from __future__ import annotations

import pytest

from policies.domainbook import DomainbookPolicy
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.mail.address import Domain
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import MessageClass, RouteKind, RouteTarget, RouteTo
from tests.kit.judging import context, listed, mail

X = Domain("x.example")


@pytest.mark.parametrize(
    ("entry", "route"),
    [
        (DomainEntry(X, Delivers.RELAY, "north", next_hops=("mx:25",)), RouteTarget(RouteKind.RELAY, "x.example")),
        (DomainEntry(X, Delivers.MAILBOX, "north", store="main"), RouteTarget(RouteKind.MAILBOX, "main")),
        (DomainEntry(X, Delivers.FOLDER, "north", store="edi"), RouteTarget(RouteKind.FOLDER, "edi")),
        (DomainEntry(X, Delivers.RELAY, network="partners"), RouteTarget(RouteKind.RELAY, "x.example")),
    ],
)
async def test_the_domainbook_says_the_route(entry: DomainEntry, route: RouteTarget) -> None:
    directory = Directory({}, {X: entry}, {}, {}, {})
    shown = mail("From: a@b.example\n\n", to=["One@x.example", "two@other.example"])
    (verdict,) = listed(await DomainbookPolicy(Options()).judge(shown, Stage.ROUTE, context(directory)))
    assert isinstance(verdict, RouteTo)
    assert verdict.recipients == ("one@x.example",)
    assert verdict.route == route
    assert verdict.route.message_class is MessageClass.CONFIDENTIAL
