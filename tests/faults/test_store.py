"""A sick database, and folders that are gone: mail is put off at the door, deliveries pause, and both come back."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayd.store.verify import database_of
from tests.kit.failing import Call
from tests.kit.matrix import Matrix
from tests.kit.wait import wait_for
from tests.kit.ward import Ward

pytestmark = pytest.mark.behaviour

WHILE_SICK = "Store and disk: what waits"
REFUSED = "`relayd serve` ends with status 65 and says what to do; started again once that is done"
#: What the store says each time when it can't write.
TRIED = "store_unavailable              error="
MISSING = "Store and disk: missing and damaged"


@contextlib.contextmanager
def _locked(patient: Ward) -> Iterator[None]:
    """Another process holds the database's write lock: a backup program, or somebody's sqlite3."""
    with contextlib.closing(sqlite3.connect(database_of(patient.site.state), isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def _moved_away(path: Path) -> Iterator[None]:
    """As when its file system isn't mounted."""
    aside = path.with_name(path.name + "-aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def _failing(calls: Call, pattern: str, error: int) -> Callable[[Ward], AbstractContextManager[None]]:
    return lambda patient: patient.machine.failing(calls, pattern, error)


@dataclass(frozen=True)
class Sickness:
    """What ``sicken`` does to the database while it lasts."""

    name: str
    operation: str
    failure: str
    sicken: Callable[[Ward], AbstractContextManager[None]]


SICKNESSES = [
    Sickness("full", "database: write", "ENOSPC", _failing(Call.WRITE, "*/relayd.db-wal", errno.ENOSPC)),
    Sickness("unsynced", "database: sync", "EIO", _failing(Call.SYNC, "*/relayd.db-wal", errno.EIO)),
    Sickness(
        "broken",
        "database: open, read, write and sync",
        "EIO",
        _failing(Call.OPEN | Call.READ | Call.WRITE | Call.SYNC, "*/relayd.db*", errno.EIO),
    ),
    Sickness("locked", "database: begin a transaction", "locked by another process", _locked),
]


@pytest.mark.parametrize("sickness", SICKNESSES, ids=lambda sickness: sickness.name)
def test_deliveries_pause_while_the_database_is_sick(patient: Ward, matrix: Matrix, sickness: Sickness) -> None:
    waiting = patient.send(f"later-{sickness.name}@partner.example")
    wait_for(lambda: "deferred" in patient.journal(waiting.id), "the first try")
    due = patient.next_attempt(waiting)
    with sickness.sicken(patient):
        refused = patient.send()
        assert refused.saw == "451 4.3.0"
        wait_for(lambda: time.time() > due, "the next try's time")
        seen = patient.relayd.log.count(TRIED)
        wait_for(lambda: patient.relayd.log.count(TRIED) > seen, "the store to be tried again")
        doctor = patient.relayd.cli("doctor", "--no-network", check=False)
        assert doctor.returncode == 1
        assert "BAD   store:" in doctor.stdout
        assert patient.arrived(waiting) == 0
    assert patient.wait_until_final(waiting) == ["received", "judged", "deferred", "delivered"]
    assert patient.arrived(waiting) == 1
    again = patient.offer(refused.recipient, refused.content)
    assert patient.wait_until_final(again) == ["received", "judged", "delivered"]
    matrix.row(
        WHILE_SICK,
        sickness.operation,
        sickness.failure,
        client_saw="451 4.3.0, then 250 2.0.0",
        journal_says="nothing of what was refused; what waited: deferred, delivered (once)",
        recovered="by itself; `relayd doctor` said BAD meanwhile",
    )


@pytest.mark.parametrize("name", ["blobs", "epochs", "keys"])
def test_a_missing_folder_is_never_made_anew_in_the_wrong_place(patient: Ward, matrix: Matrix, name: str) -> None:
    folder = {"blobs": patient.site.state / "blobs", "epochs": patient.site.keys / "epochs", "keys": patient.site.keys}
    patient.machine.jump(7 * 86400)  # what is made once a week is due
    with _moved_away(folder[name]):
        refused = patient.send()
        assert refused.saw == "451 4.3.0"
        assert not folder[name].exists()
    again = patient.offer(refused.recipient, refused.content)
    assert again.saw == "250 2.0.0"
    kinds = patient.wait_until_final(again)
    matrix.row(
        MISSING,
        {"blobs": "state/blobs", "epochs": "keys/epochs", "keys": "keys"}[name],
        "not there, as when its file system isn't mounted",
        client_saw=f"{refused.saw}, then {again.saw}",
        journal_says="nothing; then " + ", ".join(kinds),
        recovered="by itself, once it is back",
    )


def test_a_file_that_cannot_be_read_puts_the_delivery_off(patient: Ward, matrix: Matrix) -> None:
    for failure, calls in {"EIO": Call.READ, "EMFILE": Call.OPEN}.items():
        with patient.machine.failing(calls, "*.body", errno.EIO if failure == "EIO" else errno.EMFILE):
            sent = patient.send(size=400_000)
            wait_for(lambda sent=sent: "deferred" in patient.journal(sent.id), "a try that fails")
            assert patient.arrived(sent) == 0
        kinds = list(dict.fromkeys(patient.wait_until_final(sent)))
        assert kinds == ["received", "judged", "deferred", "delivered"]
        assert patient.arrived(sent) == 1
        matrix.row(
            WHILE_SICK,
            "large body: read for delivery" if failure == "EIO" else "large body: open for delivery",
            failure,
            client_saw=sent.saw,
            journal_says=", ".join(kinds),
            recovered="by itself, at the next try",
        )


def test_a_damaged_database_is_refused_with_what_to_do(patient: Ward, matrix: Matrix) -> None:
    sent = patient.send()
    patient.wait_until_final(sent)
    relayd, database = patient.relayd, database_of(patient.site.state)
    relayd.stop()
    whole = database.read_bytes()
    for damage, octets in {
        "its first page is overwritten": b"\xff" * 4096 + whole[4096:],
        "it is empty": b"",
        "its file isn't there": None,
    }.items():
        if octets is None:
            database.unlink()
        else:
            database.write_bytes(octets)
        with pytest.raises(RuntimeError, match="relayd ended with 65") as refusal:
            relayd.start()
        assert str(database) in str(refusal.value)
        assert "restore" in str(refusal.value)
        matrix.row(
            MISSING,
            "start",
            f"the database: {damage}",
            client_saw="no connection",
            journal_says="-",
            recovered=REFUSED,
        )
    database.write_bytes(whole)
    root = patient.site.keys / "root.json"
    root.write_bytes(b"{" + root.read_bytes())
    with pytest.raises(RuntimeError, match=rf"relayd ended with 65(.|\n)*{root}: JSON is malformed"):
        relayd.start()
    root.write_bytes(root.read_bytes()[1:])
    matrix.row(
        MISSING, "start", "the root key is damaged", client_saw="no connection", journal_says="-", recovered=REFUSED
    )
    relayd.start()
    again = patient.send()
    assert patient.wait_until_final(again)
    assert patient.journal(sent.id)


def test_damage_found_while_running_is_told_and_nothing_is_taken_in(patient: Ward, matrix: Matrix) -> None:
    relayd, database = patient.relayd, database_of(patient.site.state)
    relayd.stop()  # its end puts everything into the one file
    relayd.start()
    whole = database.read_bytes()
    with database.open("r+b") as file:
        file.write(whole[:4096] + b"\xff" * (len(whole) - 4096))
    try:
        refused = patient.send()
        assert refused.saw == "451 4.3.0"
        doctor = relayd.cli("doctor", "--no-network", check=False)
        assert "BAD   store:" in doctor.stdout
        assert "restore" in doctor.stdout
        assert relayd.cli("verify", check=False).returncode == 1
    finally:
        with database.open("r+b") as file:
            file.write(whole)
    again = patient.offer(refused.recipient, refused.content)
    kinds = patient.wait_until_final(again)
    matrix.row(
        MISSING,
        "any",
        "the database: its pages are overwritten while relayd runs",
        client_saw=f"{refused.saw}, then {again.saw}",
        journal_says="nothing; then " + ", ".join(kinds),
        recovered="once the file is restored; `relayd doctor` and `relayd verify` said BAD meanwhile",
    )


def test_nothing_is_left_over(patient: Ward) -> None:
    assert patient.relayd.cli("verify", "--deep").stdout.endswith("all invariants hold\n")
