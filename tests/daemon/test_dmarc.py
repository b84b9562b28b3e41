"""What of a message's fate is told to its author's domain."""

from __future__ import annotations

import pytest

from relayd.authenticity.observation import Applied, DmarcObservation, Override
from relayd.authenticity.results import Authentication, Disposition, Dmarc, Result, Spf
from relayd.daemon.dmarc import note_dmarc
from relayd.mail.reply import Reply
from relayd.pipeline.plan import Judged, Plan
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Hold, Pass, Refuse, Verdict
from tests.kit.judging import mail

FAILS = Authentication(
    Spf(Result.NONE, "x"), dmarc=Dmarc(Result.FAIL, "bank.example", "bank.example", Disposition.REJECT)
)
NO = Reply(550, "5.7.1", "no")


class Noted:
    def __init__(self) -> None:
        self.seen: list[DmarcObservation] = []

    def note(self, observation: DmarcObservation) -> None:
        self.seen.append(observation)


def noted(found: Authentication | None, *verdicts: tuple[str, Verdict], sender: str = "x@sender.example") -> Noted:
    results = Noted()
    judged = tuple(Judged(policy, Stage.MESSAGE, verdict, 0.0) for policy, verdict in verdicts)
    note_dmarc(results, mail("From: x@bank.example\n\nx\n", sender=sender), found, Plan(judged=judged))
    return results


@pytest.mark.parametrize(
    ("verdicts", "applied", "override"),
    [
        ([("authenticity", Refuse("why", reply=NO))], Applied.REJECT, None),
        ([("authenticity", Hold("why"))], Applied.QUARANTINE, Override.LOCAL_POLICY),
        ([("authenticity", Pass("why"))], Applied.NONE, Override.LOCAL_POLICY),
        ([("attachments", Refuse("other", reply=NO))], Applied.NONE, Override.LOCAL_POLICY),
    ],
)
def test_what_the_policy_did(verdicts: list[tuple[str, Verdict]], applied: Applied, override: Override | None) -> None:
    (seen,) = noted(FAILS, *verdicts).seen
    assert (seen.applied, seen.override) == (applied, override)
    assert (seen.source, seen.envelope_from) == ("203.0.113.9", "sender.example")


def test_the_null_sender_is_told_as_the_peers_name() -> None:
    (seen,) = noted(FAILS, ("authenticity", Refuse("why", reply=NO)), sender="").seen
    assert seen.envelope_from == "client.example"


def test_where_nobody_asked_nothing_is_told() -> None:
    assert noted(None).seen == []
