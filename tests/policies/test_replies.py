"""The Viewer's own addresses: who may write to which, and who may write in their name."""

from __future__ import annotations

import pytest

from policies.replies import RepliesPolicy
from relayd.directory.directory import STRANGER, Directory, Organisation, Origin, Via
from relayd.mail.address import Domain
from relayd.mail.envelope import Listener
from relayd.mail.meta import Reader
from relayd.pipeline.policy import Options, Stage, ViewerAddress
from relayd.pipeline.verdict import Attach, Refuse, RouteKind, RouteTo, Verdict
from tests.kit.judging import context, listed, mail, peer

OURS = Domain("replies.viewer.example")
READER = Reader(mobile="+31612345678", address="piet@thuis.example", thread="t1")
KNOWN = {"r.token": ViewerAddress("north", READER), "n.token": ViewerAddress("north")}
NORTH = Origin(Via.CERTIFICATE, ("north",))
SOUTH = Origin(Via.CERTIFICATE, ("south",))
BEHIND = Origin(Via.NETWORK, ("north", "south"), platform="shared")
DOCTOR = "doctor@north.example"


class Known:
    async def look_up(self, local_part: str) -> ViewerAddress | None:
        return KNOWN.get(local_part)


def everybody() -> Directory:
    organisations = {
        name: Organisation(id=name, name=name, domains=frozenset({Domain(f"{name}.example")}))
        for name in ("north", "south")
    }
    return Directory(organisations, {}, {}, {}, {}, viewer_domain=OURS)


async def judge(
    stage: Stage,
    to: str = "someone@outside.example",
    *,
    sender: str = DOCTOR,
    origin: Origin = NORTH,
    header_from: str = "",
    listener: Listener = Listener.RELAY,
) -> list[Verdict]:
    content = f"From: {header_from or sender}\n\ntext\n" if stage in (Stage.MESSAGE, Stage.ROUTE) else None
    asked = mail(content, sender=sender, to=[to], origin=origin, by=peer(listener=listener))
    return listed(await RepliesPolicy(Options()).judge(asked, stage, context(everybody(), viewer=Known())))


def refused(verdicts: list[Verdict]) -> str:
    return next((f"{one.reply.code} {one.reply.enhanced}" for one in verdicts if isinstance(one, Refuse)), "")


@pytest.mark.parametrize(
    ("to", "sender", "origin", "answer"),
    [
        (f"r.token@{OURS}", DOCTOR, NORTH, ""),
        (f"r.token@{OURS}", "nurse@north.example", NORTH, ""),
        (f"r.token@{OURS}", "", NORTH, ""),
        (f"r.token@{OURS}", "doctor@south.example", SOUTH, "550 5.1.1"),
        (f"r.token@{OURS}", "x@outside.example", STRANGER, "550 5.1.1"),
        (f"r.token@{OURS}", DOCTOR, BEHIND, ""),  # the proof comes after the data
        (f"r.other@{OURS}", DOCTOR, NORTH, "550 5.1.1"),
        (f"postmaster@{OURS}", DOCTOR, NORTH, "550 5.1.1"),
        (f"n.token@{OURS}", "", STRANGER, ""),
        (f"n.token@{OURS}", "x@outside.example", STRANGER, "550 5.7.1"),
        (f"n.token@{OURS}", DOCTOR, NORTH, "550 5.7.1"),
        (f"n.other@{OURS}", "", STRANGER, "550 5.1.1"),
        ("x@outside.example", DOCTOR, NORTH, ""),
    ],
)
async def test_who_reaches_which_address(to: str, sender: str, origin: Origin, answer: str) -> None:
    assert refused(await judge(Stage.RECIPIENT, to, sender=sender, origin=origin)) == answer


async def test_the_organisations_mail_reaches_the_reader_with_the_number_that_is_known() -> None:
    verdicts = await judge(Stage.ROUTE, f"r.token@{OURS}")
    routes = [one.route.kind for one in verdicts if isinstance(one, RouteTo)]
    readers = [one.readers for one in verdicts if isinstance(one, Attach)]
    assert routes == [RouteKind.VIEWER]
    assert readers == [((f"r.token@{OURS}", READER),)]
    assert "612345678" not in " ".join(one.reason for one in verdicts)


async def test_a_report_is_read_here() -> None:
    (verdict,) = await judge(Stage.ROUTE, f"n.token@{OURS}", sender="", origin=STRANGER, header_from="daemon@x.example")
    assert isinstance(verdict, RouteTo)
    assert verdict.route.kind is RouteKind.BOUNCE


async def test_behind_a_platform_the_proof_must_have_come_by_the_end_of_data() -> None:
    assert refused(await judge(Stage.ROUTE, f"r.token@{OURS}", origin=BEHIND)) == "550 5.1.1"


@pytest.mark.parametrize("stage", [Stage.SENDER, Stage.MESSAGE])
@pytest.mark.parametrize("origin", [NORTH, STRANGER])
async def test_nobody_else_writes_in_a_readers_name(stage: Stage, origin: Origin) -> None:
    assert refused(await judge(stage, sender=f"r.token@{OURS}", origin=origin)) == "550 5.7.1"


async def test_nor_in_the_header() -> None:
    forged = await judge(
        Stage.MESSAGE, sender="x@outside.example", origin=STRANGER, header_from=f"Piet <r.token@{OURS}>"
    )
    assert refused(forged) == "550 5.7.1"


@pytest.mark.parametrize("stage", [Stage.SENDER, Stage.MESSAGE])
async def test_the_viewer_does(stage: Stage) -> None:
    inside = Origin(Via.INTERNAL, ("north",))
    assert not refused(await judge(stage, sender=f"r.token@{OURS}", origin=inside, listener=Listener.VIEWER))
