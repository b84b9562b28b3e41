"""The oracle, case by case: what the outside logs and relayd's word come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.lib.crash.oracle import Arrival, Evidence, explained, judge
from scripts.lib.crash.told import Recipient, Told
from scripts.lib.load import HOSTED, SENDER, Acknowledged
from tests.kit.sink import Receipt, Refusal

ID, QUEUE_ID, DIGEST = "<1@noord.example>", "0k7m", "d1"
OK, NO, NEVER = "ok@partner.example", "refuse@partner.example", "never@partner.example"


def accepted(*recipients: str, at: float = 1.0) -> Acknowledged:
    return Acknowledged(ID, QUEUE_ID, list(recipients), DIGEST, at)


def receipt(*recipients: str, at: float = 2.0, digest: str = DIGEST) -> Receipt:
    return Receipt(ID, SENDER, list(recipients), {}, 100, digest, "mx", at=at, queue_id=QUEUE_ID)


def report(*about: str, message_id: str = "<report@mx>") -> Receipt:
    return Receipt(message_id, "", [SENDER], {}, 100, "d2", "mx", at=3.0, reported=dict.fromkeys(about, "failed"))


def told(**states: str) -> Told:
    """relayd's word: states by the first word of an address, a journal that fits them."""
    found = Told()
    addresses = {"ok": OK, "refuse": NO, "never": NEVER, "anna": HOSTED}
    for number, (name, state) in enumerate(states.items()):
        arrivals = int(state in ("delivered", "relayed"))
        found.messages[QUEUE_ID][addresses[name]] = Recipient(number, state, arrivals)
        if state == "failed":
            found.reported.add(QUEUE_ID)
    return found


def evidence(acknowledged: Acknowledged, says: Told, *receipts: Receipt) -> Evidence:
    return Evidence([acknowledged], list(receipts), [Refusal(NO, "550 5.1.1 no", 1.5)], [], says)


def test_all_is_well() -> None:
    says = told(ok="delivered", refuse="failed", never="queued")
    found = judge(evidence(accepted(OK, NO, NEVER), says, receipt(OK), report(NO)))
    assert (found.lost, found.contradictions, found.again) == ({}, [], [])


@pytest.mark.parametrize(
    ("says", "receipts", "why"),
    [
        (told(), [], "relayd doesn't know it"),
        (told(ok="delivered"), [], "relayd says delivered"),
        (told(ok="delivered"), [receipt(OK, digest="another")], "relayd says delivered"),
        (told(ok="queued"), [], "it never came; relayd says queued"),
        (told(ok="failed"), [], "relayd says failed, and no report came"),
        (told(ok="held"), [], "relayd says held, and no operator did that"),
    ],
)
def test_lost(says: Told, receipts: list[Receipt], why: str) -> None:
    assert judge(evidence(accepted(OK), says, *receipts)).lost == {ID: f"{QUEUE_ID} to {OK}: {why}"}


def test_one_recipient_of_several_is_enough_for_a_loss() -> None:
    found = judge(evidence(accepted(OK, NO), told(ok="delivered", refuse="failed"), receipt(OK)))
    assert found.lost == {ID: f"{QUEUE_ID} to {NO}: relayd says failed, and no report came"}


@pytest.mark.parametrize(
    ("says", "receipts", "about"),
    [
        (told(), [receipt(OK)], "doesn't know it"),
        (told(ok="queued"), [receipt(OK)], "it arrived; relayd says queued"),
        (told(ok="failed"), [report(OK)], "nobody refused it"),
    ],
)
def test_the_journal_contradicts_the_logs(says: Told, receipts: list[Receipt], about: str) -> None:
    found = judge(evidence(accepted(OK), says, *receipts))
    assert found.lost == {}
    assert about in found.contradictions[0]


def test_what_came_out_without_being_acknowledged_must_stand_in_the_journal() -> None:
    nothing_said = Evidence([], [receipt(OK)], [], [], Told())
    assert judge(nothing_said).contradictions == [f"{QUEUE_ID} to {OK} arrived; relayd says nothing"]
    assert judge(replace(nothing_said, told=told(ok="delivered"))).contradictions == []


def test_a_delivery_that_the_journal_has_twice() -> None:
    says = told(ok="delivered")
    says.messages[QUEUE_ID][OK].arrivals = 2
    assert judge(evidence(accepted(OK), says, receipt(OK))).contradictions


def test_two_reports_of_one_recipient() -> None:
    found = judge(evidence(accepted(NO), told(refuse="failed"), report(NO), report(NO, message_id="<other@mx>")))
    assert found.contradictions == [f"{NO}: 2 reports"]


def test_a_failure_without_a_record_of_its_report() -> None:
    says = told(refuse="failed")
    says.reported.clear()
    assert judge(evidence(accepted(NO), says, report(NO))).contradictions


def test_what_an_operator_held_stays_held() -> None:
    says = told(never="queued")
    held = replace(evidence(accepted(NEVER), says), held=frozenset({(QUEUE_ID, NEVER)}))
    assert judge(held).contradictions
    assert not judge(replace(held, told=told(never="held"))).contradictions


def test_nothing_may_wait_once_the_partner_takes_everything() -> None:
    waiting = replace(evidence(accepted(NEVER), told(never="queued")), given_in=True)
    assert judge(waiting).lost
    assert not judge(replace(waiting, told=told(never="delivered"), receipts=[receipt(NEVER)])).lost


def test_a_mailbox_counts_as_arrival() -> None:
    there = replace(evidence(accepted(HOSTED), told(anna="delivered")), mailbox=[Arrival((ID, HOSTED), DIGEST, 2.0)])
    assert judge(there).lost == {}


def test_what_happened_after_a_power_cut_never_did() -> None:
    both = evidence(accepted(OK), told(ok="delivered"), receipt(OK, at=2.0))
    assert judge(both.as_of(cut=3.0, again=9.0)).lost == {}
    assert judge(both.as_of(cut=1.5, again=9.0)).lost  # it hadn't arrived yet
    assert judge(both.as_of(cut=0.5, again=9.0)).acknowledged == 0
    assert judge(both.as_of(cut=1.5, again=1.9)).lost == {}  # it arrived afterwards


@pytest.mark.parametrize(
    ("again", "kind"),
    [
        ((9.0, 12.0), "store"),  # died between the two
        ((10.5, 10.7), "store"),  # arrived while it was being killed
        ((12.0, 30.0), "worker"),  # the one in between, not the one before
        ((12.0, 13.0), "store"),  # sent before a death, taken after it
        ((1.0, 2.0), ""),
        ((50.0, 51.0), ""),
    ],
)
def test_a_duplicate_needs_a_death(again: tuple[float, float], kind: str) -> None:
    assert explained(again, [("store", 10.0, 11.0), ("worker", 20.0, 21.0)], 5.0) == kind
