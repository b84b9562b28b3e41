"""The wall clock jumps under a running relayd: nothing is lost, hammered or destroyed, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.failing import Machine
from tests.kit.matrix import Matrix
from tests.kit.site import Site
from tests.kit.wait import wait_for
from tests.kit.ward import Ward, ward

pytestmark = pytest.mark.behaviour

CLOCK = "The clock"
DAY = 86400
YEAR = 365 * DAY


@pytest.fixture(scope="module")
def patient(site: Site, _compiler: None) -> Iterator[Ward]:
    """With a short lease, since a clock that was set back is noticed once in each."""
    site.relayd["queue"] = {"schedule": ["1s"], "lease": "2s"}
    with ward(site, Machine(site.folder)) as patient:
        yield patient


def test_after_the_clock_was_set_back_a_day_what_waits_goes_out_within_a_lease(patient: Ward, matrix: Matrix) -> None:
    patient.machine.jump(DAY)
    stuck = patient.send("never-1@partner.example")
    wait_for(lambda: "deferred" in patient.journal(stuck.id), "a first try")
    waiting = patient.send("later-1@partner.example")
    wait_for(lambda: "deferred" in patient.journal(waiting.id), "a first try")
    patient.machine.jump(-DAY)
    kinds = patient.wait_until_final(waiting)
    assert kinds == ["received", "judged", "deferred", "delivered"]
    assert patient.arrived(waiting) == 1
    during = patient.send()
    assert patient.wait_until_final(during)
    tries = patient.journal(stuck.id).count("deferred")
    wait_for(lambda: patient.journal(stuck.id).count("deferred") > tries, "the schedule to go on")
    assert "lease_lost" not in patient.relayd.log
    matrix.row(
        CLOCK,
        "deliveries that wait",
        "set back by a day",
        client_saw=during.saw,
        journal_says=", ".join(kinds),
        recovered="by itself: what waits is due within a lease's length, not a day later",
    )


def test_a_year_ahead_nothing_is_destroyed_and_nothing_is_lost(patient: Ward, matrix: Matrix) -> None:
    delivered = patient.send()
    patient.wait_until_final(delivered)
    waiting = patient.send("never-2@partner.example")
    wait_for(lambda: "deferred" in patient.journal(waiting.id), "a first try")
    patient.machine.jump(YEAR)
    kinds = patient.wait_until_final(waiting)
    assert kinds[-3:] == ["deferred", "expired", "reported"]
    wait_for(lambda: any("never-2@partner.example" in report for report in patient.reports()), "a report")
    during = patient.send()
    assert patient.wait_until_final(during)
    # A restart looks at once for what has had its day.
    patient.relayd.stop()
    patient.relayd.start()
    wait_for(lambda: "clock_doubted" in patient.relayd.log, "the round that forgets")
    doctor = patient.relayd.cli("doctor", "--no-network", check=False)
    assert "WARN  clock: " in doctor.stdout
    patient.machine.jump(-YEAR)
    assert patient.relayd.cli("verify", "--deep").stdout.endswith("all invariants hold\n")
    matrix.row(
        CLOCK,
        "deliveries that wait, and retention",
        "set a year ahead",
        client_saw=during.saw,
        journal_says="what waited: tried once more, expired, and its sender was told",
        recovered="by itself; nothing is forgotten for three days, and `relayd doctor` says so",
    )
