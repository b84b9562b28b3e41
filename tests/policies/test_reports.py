"""Which mail is for relayd itself."""

from __future__ import annotations

import pytest

from policies.reports import ReportsPolicy
from policies.sender import SenderOptions, SenderPolicy
from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.mail.address import Domain
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import Pass, RouteKind, RouteTarget, RouteTo
from tests.kit.judging import context, listed, mail

HOSTED = Domain("hosted.example")
#: An address whose domain is nowhere, and one without a mailbox on a hosted domain.
ADDRESSES = ["reports@relay.example", "reports@hosted.example"]


def directory(address: str) -> Directory:
    entry = DomainEntry(HOSTED, Delivers.MAILBOX, "south", store="main")
    return Directory({}, {HOSTED: entry}, {}, {}, {}, report_address=address)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_address_is_routed_and_no_other(address: str) -> None:
    shown = mail("From: a@b.example\n\n", to=[address.capitalize(), f"x{address}", f"reports@sub.{HOSTED}"])
    (verdict,) = listed(await ReportsPolicy(Options()).judge(shown, Stage.ROUTE, context(directory(address))))
    assert isinstance(verdict, RouteTo)
    assert verdict.recipients == (address,)
    assert verdict.route == RouteTarget(RouteKind.REPORT)


async def test_without_an_address_it_says_nothing() -> None:
    shown = mail("From: a@b.example\n\n", to=ADDRESSES)
    assert listed(await ReportsPolicy(Options()).judge(shown, Stage.ROUTE, context(directory("")))) == []


@pytest.mark.parametrize("address", ADDRESSES)
async def test_strangers_may_write_to_the_address(address: str) -> None:
    for served, allowed in ((address, True), ("", False)):
        shown = mail("From: a@b.example\n\n", to=[address])
        verdicts = listed(await SenderPolicy(SenderOptions()).judge(shown, Stage.RECIPIENT, context(directory(served))))
        assert [isinstance(verdict, Pass) for verdict in verdicts] == [allowed]
