"""A disk that is really full, and one that is read-only: a tmpfs as the state folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import small_disk
from tests.kit.daemon import RelayProcess
from tests.kit.matrix import Matrix
from tests.kit.ports import free_port
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.small_disk import SmallDisk
from tests.kit.wait import wait_for
from tests.kit.ward import Ward, ward

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(small_disk.unavailable()), reason=small_disk.unavailable()),
]

DISK = "Store and disk: a real disk"
SIZE = 24 * 2**20


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.relayd["queue"] = {"schedule": ["1s"]}
    return site


@contextlib.contextmanager
def _filled(state: Path, leave: int) -> Iterator[None]:
    """Somebody else's file takes all but ``leave`` octets of the disk."""
    fill = state / "somebody-elses"
    with fill.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 * 1024))
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))
        file.truncate(file.tell() - leave)
    try:
        yield
    finally:
        fill.unlink()


def _kinds(patient: Ward, message_id: str) -> list[str]:
    return [event["kind"] for event in patient.relayd.json("message", "show", message_id)["journal"]]


@pytest.mark.parametrize(
    ("minimum_free", "leave", "fault", "reply"),
    [
        (0, 0, "no octet free (ENOSPC), and no `store.minimum_free`", "451 4.3.0"),
        # More than a second's mail is left, which is how often relayd looks.
        (8 * 2**20, 6 * 2**20, "less free than `store.minimum_free`", "452 4.3.1"),
    ],
    ids=["full", "nearly full"],
)
def test_mail_waits_outside_until_there_is_room(
    site: Site, matrix: Matrix, minimum_free: int, leave: int, fault: str, reply: str
) -> None:
    site.relayd["store"] = {"minimum_free": minimum_free}
    port = free_port()
    site.domainbook["clinic.example"] = {**site.domainbook["partner.example"], "next_hops": [f"127.0.0.1:{port}"]}
    with ward(site, disk=SmallDisk(SIZE)) as patient:
        state = SmallDisk.seen_by(patient.relayd.child.pid, site.state)
        waiting = patient.send("b@clinic.example")
        wait_for(lambda: "deferred" in _kinds(patient, waiting.id), "the first try")
        with _filled(state, leave):
            refused = wait_for(lambda: _refused(patient), "the disk to be found full")
            assert refused.saw == reply
            doctor = patient.relayd.cli("doctor", "--no-network", check=False)
            assert doctor.returncode == 1
            assert "BAD   disk: " in doctor.stdout
            assert "b@clinic.example" in patient.relayd.cli("queue", "list").stdout
        again = wait_for(lambda: _accepted(patient), "mail to be taken again")
        with Sink(site.folder / "clinic", site.partner, port=port) as clinic:
            for sent, server in ((waiting, clinic), (again, patient.partner)):
                wait_for(lambda sent=sent: "delivered" in _kinds(patient, sent.id), "a delivery")
                assert [receipt.message_id for receipt in server.receipts].count(sent.message_id) == 1
        assert patient.relayd.cli("verify", "--deep").stdout.endswith("all invariants hold\n")
    matrix.row(
        DISK,
        "all writes",
        fault,
        client_saw=f"{reply}, then 250 2.0.0",
        journal_says="nothing of what was refused; what waited: deferred, delivered (once)",
        recovered="by itself, once there is room; `relayd doctor` said BAD meanwhile",
    )


def _refused(patient: Ward):
    sent = patient.send(size=100_000)
    return None if sent.accepted else sent


def _accepted(patient: Ward):
    sent = patient.send()
    return sent if sent.accepted else None


def test_a_read_only_state_folder_is_refused_at_the_start(site: Site, matrix: Matrix) -> None:
    relayd = RelayProcess(site, disk=SmallDisk(SIZE, read_only=True))
    with pytest.raises(RuntimeError, match="relayd ended with 1") as refusal:
        relayd.start()
    relayd.stop()
    assert f"relayd: {site.state} can't be used: Read-only" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)
    matrix.row(
        DISK,
        "start",
        "the state folder is read-only (EROFS)",
        client_saw="no connection",
        journal_says="-",
        recovered="`relayd serve` ends and says which folder",
    )
