"""Every file call that a message's acceptance rests on fails once, in a relayd that runs all the while.

What can't be made durable isn't acknowledged, and the first message after the trouble goes through.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

import pytest

from tests.kit import mail
from tests.kit.failing import Call
from tests.kit.matrix import Matrix
from tests.kit.talk import ANNA, BRAM, say
from tests.kit.wait import wait_for
from tests.kit.ward import LARGE, Sent, Ward

pytestmark = pytest.mark.behaviour

ACCEPTANCE = "Store and disk: taking mail in"
WEEK = 7 * 86400


@dataclass(frozen=True)
class Fault:
    """``operation`` fails as ``failure`` says. ``calls`` on paths like ``pattern`` do, with ``error``.

    ``size`` is the message's: large bodies have files of their own. ``first_of_week``: these files are made once a
    week, so a week goes by before.
    """

    operation: str
    failure: str
    calls: Call
    pattern: str
    error: int
    torn: bool = False
    size: int = 0
    first_of_week: bool = False

    def __str__(self) -> str:
        return f"{self.operation}-{errno.errorcode[self.error]}{'-torn' if self.torn else ''}".replace(" ", "_")


def _of(
    operation: str, calls: Call, pattern: str, *errors: int, size: int = 0, first_of_week: bool = False
) -> list[Fault]:
    return [
        Fault(operation, errno.errorcode[error], calls, pattern, error, size=size, first_of_week=first_of_week)
        for error in errors
    ]


def _torn(operation: str, pattern: str, error: int, size: int = 0) -> Fault:
    name = errno.errorcode[error]
    return Fault(operation, f"{name} after half of it", Call.WRITE, pattern, error, torn=True, size=size)


FAULTS = [
    *_of("small body: make the week's folder", Call.MKDIR, "*/blobs/2*", errno.ENOSPC, errno.EROFS, first_of_week=True),
    *_of("small body: sync the folders above it", Call.SYNC, "*/blobs", errno.EIO, first_of_week=True),
    *_of(
        "small body: open a segment",
        Call.OPEN,
        "*.segment",
        errno.EMFILE,
        errno.ENOSPC,
        errno.EROFS,
        first_of_week=True,
    ),
    *_of("small body: sync the segment's folder", Call.SYNC, "*/blobs/2*-W??", errno.EIO, first_of_week=True),
    *_of("small body: write", Call.WRITE, "*.segment", errno.ENOSPC, errno.EDQUOT, errno.EIO),
    _torn("small body: write", "*.segment", errno.ENOSPC),
    *_of("small body: sync", Call.SYNC, "*.segment", errno.EIO, errno.ENOSPC),
    *_of("large body: open", Call.OPEN, "*.part", errno.EMFILE, errno.ENOSPC, size=LARGE),
    *_of("large body: write", Call.WRITE, "*.part", errno.ENOSPC, errno.EDQUOT, errno.EIO, size=LARGE),
    _torn("large body: write", "*.part", errno.ENOSPC, LARGE),
    *_of("large body: sync", Call.SYNC, "*.part", errno.EIO, size=LARGE),
    *_of("large body: give it its name", Call.RENAME, "*.body", errno.EIO, errno.ENOSPC, size=LARGE),
    *_of("large body: sync its folder", Call.SYNC, "*/blobs/2*-W??", errno.EIO, size=LARGE),
    *_of("epoch key: make", Call.OPEN, "*/keys/epochs/*", errno.EMFILE, errno.EROFS, first_of_week=True),
    *_of("epoch key: write", Call.WRITE, "*/keys/epochs/*", errno.ENOSPC, errno.EIO, first_of_week=True),
    *_of("epoch key: sync", Call.SYNC, "*/keys/epochs/*", errno.EIO, first_of_week=True),
    *_of("epoch key: give it its name", Call.LINK, "*/keys/epochs/*", errno.EIO, first_of_week=True),
    *_of("database: write", Call.WRITE, "*/relayd.db-wal", errno.ENOSPC, errno.EDQUOT, errno.EIO),
    _torn("database: write", "*/relayd.db-wal", errno.ENOSPC),
    *_of("database: sync", Call.SYNC, "*/relayd.db-wal", errno.EIO),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_cannot_be_made_durable_is_not_acknowledged(patient: Ward, matrix: Matrix, fault: Fault) -> None:
    machine = patient.machine
    if fault.first_of_week:
        machine.jump(WEEK)
    before = patient.messages()
    with machine.failing(fault.calls, fault.pattern, fault.error, torn=fault.torn):
        refused = patient.send(size=fault.size)
        assert machine.hits, "this fault never struck"
    assert refused.saw == "451 4.3.0"
    assert patient.messages() == before
    again = patient.offer(refused.recipient, refused.content)
    assert again.saw == "250 2.0.0"
    kinds = patient.wait_until_final(again)
    assert kinds == ["received", "judged", "delivered"]
    assert patient.arrived(again) == 1
    matrix.row(
        ACCEPTANCE,
        fault.operation,
        fault.failure,
        client_saw=f"{refused.saw}, then {again.saw}",
        journal_says="nothing; then " + ", ".join(kinds),
        recovered="by itself, at the next message",
    )


MAILBOX_FAULTS = [
    *_of("make the folders", Call.MKDIR, "*/maildir/*", errno.ENOSPC),
    *_of("open", Call.OPEN, "*/maildir/*/tmp/*", errno.EMFILE),
    *_of("write", Call.WRITE, "*/maildir/*/tmp/*", errno.ENOSPC, errno.EDQUOT),
    _torn("write", "*/maildir/*/tmp/*", errno.ENOSPC),
    *_of("sync", Call.SYNC, "*/maildir/*/tmp/*", errno.EIO),
    *_of("give it its name", Call.RENAME, "*/new/*", errno.EIO),
    *_of("sync its folder", Call.SYNC, "*/maildir/*/new", errno.EIO),
]


@pytest.mark.parametrize("fault", MAILBOX_FAULTS, ids=str)
def test_a_mailbox_that_cannot_be_written_gets_its_mail_later_and_once(
    patient: Ward, matrix: Matrix, fault: Fault
) -> None:
    content = mail.message(ANNA, [BRAM])
    with patient.machine.failing(fault.calls, fault.pattern, fault.error, torn=fault.torn):
        with patient.relayd.submission(ANNA) as client:
            sent = Sent(BRAM, content, *say(client, ANNA, [BRAM], content))
        wait_for(lambda: "deferred" in patient.journal(sent.id), "the first try")
        assert patient.machine.hits
    kinds = list(dict.fromkeys(patient.wait_until_final(sent)))
    assert kinds == ["received", "judged", "deferred", "delivered"]
    found = [path for path in (patient.site.mailbox(BRAM) / "new").iterdir() if sent.id in path.name]
    assert len(found) == 1
    assert list((patient.site.mailbox(BRAM) / "tmp").iterdir()) == []
    matrix.row(
        "Store and disk: hosted mailboxes",
        f"Maildir: {fault.operation}",
        fault.failure,
        client_saw=sent.saw,
        journal_says=", ".join(kinds),
        recovered="by itself, at the next try; in the mailbox once",
    )


def test_without_a_descriptor_for_it_a_connection_waits(patient: Ward, matrix: Matrix) -> None:
    with patient.machine.failing(Call.ACCEPT, "*", errno.EMFILE):
        sock = socket.create_connection(("127.0.0.1", patient.site.relay_port), 30)
        wait_for(lambda: patient.relayd.log.count("accept_paused") >= 2, "both workers to find none")
    with sock:
        assert sock.recv(4) == b"220 "
    assert patient.wait_until_final(patient.send())
    matrix.row(
        ACCEPTANCE,
        "connection: accept",
        "EMFILE",
        client_saw="nothing while it lasts, then the greeting",
        journal_says="nothing",
        recovered="by itself, within a second",
    )


def test_a_log_that_cannot_be_written_costs_lines_and_no_mail(patient: Ward, matrix: Matrix) -> None:
    with patient.machine.failing(Call.WRITE, "*/relayd.log", errno.ENOSPC):
        sent = patient.send()
        assert sent.saw == "250 2.0.0"
        kinds = patient.wait_until_final(sent)
        assert patient.machine.hits
    assert patient.arrived(sent) == 1
    matrix.row(
        ACCEPTANCE, "log: write", "ENOSPC", client_saw=sent.saw, journal_says=", ".join(kinds), recovered="not needed"
    )


def test_nothing_is_left_over(patient: Ward) -> None:
    assert patient.relayd.cli("verify", "--deep").stdout.endswith("all invariants hold\n")
