"""Domainbook and NTA 7516 register: which entry gives which route."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from policies.domainbook import DomainbookPolicy
from policies.nta7516 import Nta7516Policy
from relayd.directory.directory import Delivers, Directory, DomainEntry, NtaEntry
from relayd.mail.address import Domain
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import MessageClass, RouteKind, RouteTarget, RouteTo
from tests.kit.judging import FrozenClock, context, listed, mail

X = Domain("x.example")
NOON = FrozenClock(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp())


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


@pytest.mark.parametrize(
    ("entry", "routed"),
    [
        (NtaEntry(X, True, "agreed", hosts=("mx.x.example:25",)), True),
        (NtaEntry(X, True, "agreed", until=date(2026, 11, 23), hosts=("mx.x.example:25",)), True),
        (NtaEntry(X, True, "agreed", until=date(2026, 11, 22), hosts=("mx.x.example:25",)), False),
        (NtaEntry(X, True, "agreed"), False),
        (NtaEntry(X, False, "broken TLS", hosts=("mx.x.example:25",)), False),
        (NtaEntry(X, False, "broken TLS", until=date(2026, 11, 22)), False),
    ],
)
async def test_the_register_routes_only_where_certificates_can_be_verified(entry: NtaEntry, routed: bool) -> None:
    directory = Directory({}, {}, {X: entry}, {}, {})
    shown = mail("From: a@b.example\n\n", to=["one@x.example", "two@other.example"])
    (verdict,) = listed(await Nta7516Policy(Options()).judge(shown, Stage.ROUTE, context(directory, clock=NOON)))
    assert verdict.recipients == ("one@x.example",)
    assert isinstance(verdict, RouteTo) == routed
    if isinstance(verdict, RouteTo):
        assert verdict.route == RouteTarget(RouteKind.RELAY, "x.example")
