"""SIGHUP and SIGTERM in the middle of everything: transactions finish or get 421, and what was acknowledged arrives."""

from __future__ import annotations

import asyncio
import errno
import signal
import smtplib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.kit import mail
from tests.kit.failing import Call, Machine
from tests.kit.matrix import Matrix
from tests.kit.peer import HANG, Peer, Script
from tests.kit.ports import free_port
from tests.kit.site import Site
from tests.kit.talk import DOCTOR, data
from tests.kit.wait import wait_for
from tests.kit.ward import Ward, ward

pytestmark = pytest.mark.behaviour

SIGNALS = "Reload and shutdown"


@pytest.fixture(scope="module")
def hanging_port(site: Site) -> int:
    """Where the next hop of hanging.example is to listen."""
    port = free_port()
    site.domainbook["hanging.example"] = {**site.domainbook["partner.example"], "next_hops": [f"127.0.0.1:{port}"]}
    return port


@pytest.fixture(scope="module")
def patient(site: Site, hanging_port: int, _compiler: None) -> Iterator[Ward]:
    with ward(site, Machine(site.folder)) as patient:
        yield patient


def _finish(client: smtplib.SMTP, content: bytes) -> tuple[int, bytes]:
    client.send(content + b".\r\n")
    return client.getreply()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_body_that_is_coming_in_is_taken_in(patient: Ward, matrix: Matrix, name: str) -> None:
    content = mail.message(DOCTOR, ["na@partner.example"])
    with patient.relayd.hospital() as client:
        data(client, "na@partner.example")
        client.send(content[:100])
        if name == "SIGHUP":
            assert patient.relayd.reload() == "reloaded"
        else:
            patient.relayd.child.signal(signal.SIGTERM)
            wait_for(lambda: "stopping" in patient.relayd.log, "the stop to begin")
        code, text = _finish(client, content[100:])
        assert (code, text[:5]) == (250, b"2.0.0")
        if name == "SIGTERM":
            code, text = client.getreply()
            assert (code, text[:5]) == (421, b"4.3.2")
    if name == "SIGTERM":
        assert patient.relayd.child.wait() == 0
        patient.relayd.start()
    patient.partner.wait_for_receipt(mail.message_id_of(content))
    assert sum(receipt.message_id == mail.message_id_of(content) for receipt in patient.partner.receipts) == 1
    matrix.row(
        SIGNALS,
        "in the middle of DATA",
        name,
        client_saw="250 2.0.0" + (", then 421 4.3.2" if name == "SIGTERM" else ""),
        journal_says="received, judged, delivered (once)",
        recovered="not needed" if name == "SIGHUP" else "after the next start at the latest",
    )


def test_a_stop_does_not_wait_for_a_sick_store_and_loses_nothing(patient: Ward, matrix: Matrix) -> None:
    waiting = patient.send("later-stop@partner.example")
    wait_for(lambda: "deferred" in patient.journal(waiting.id), "the first try")
    with patient.machine.failing(Call.WRITE | Call.SYNC, "*/relayd.db*", errno.EIO):
        refused = patient.send()
        assert refused.saw == "451 4.3.0"
        patient.relayd.child.signal(signal.SIGTERM)
        assert patient.relayd.child.wait(45) == 0
    patient.relayd.start()
    kinds = patient.wait_until_final(waiting)
    assert kinds == ["received", "judged", "deferred", "delivered"]
    assert patient.arrived(waiting) == 1
    matrix.row(
        SIGNALS,
        "while the database can't be written",
        "SIGTERM",
        client_saw=f"{refused.saw} before",
        journal_says=", ".join(kinds),
        recovered="after the next start",
    )


def test_a_database_that_cannot_be_put_in_order_at_the_end_is_whole_at_the_next_start(
    patient: Ward, matrix: Matrix
) -> None:
    """The last checkpoint fails; what it would have moved is still in the write-ahead log."""
    sent = patient.send()
    patient.wait_until_final(sent)
    with patient.machine.failing(Call.WRITE | Call.SYNC, "*/relayd.db", errno.EIO):
        assert patient.relayd.stop() == 0
        assert patient.machine.hits
    patient.relayd.start()
    kinds = patient.journal(sent.id)
    assert kinds == ["received", "judged", "delivered"]
    assert patient.relayd.cli("verify", "--deep").stdout.endswith("all invariants hold\n")
    matrix.row(
        SIGNALS,
        "database: the last checkpoint",
        "EIO",
        client_saw="250 2.0.0 before",
        journal_says=", ".join(kinds),
        recovered="after the next start",
    )


def test_a_start_on_a_full_disk_waits_and_says_why(patient: Ward, matrix: Matrix) -> None:
    patient.relayd.stop()
    before = len(patient.relayd.log)
    full = ExitStack()
    full.enter_context(patient.machine.failing(Call.WRITE, "*/state/*", errno.ENOSPC))

    def make_room() -> str:
        said = wait_for(lambda: patient.relayd.log[before:].partition("store_waits")[2], "the reason in the log")
        full.close()
        return said

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make_room)
        patient.relayd.start()
        assert "the database is not usable" in made.result()
    sent = patient.send()
    assert sent.saw == "250 2.0.0"
    kinds = patient.wait_until_final(sent)
    matrix.row(
        SIGNALS,
        "start",
        "ENOSPC in the state folder",
        client_saw=f"connections wait, then {sent.saw}",
        journal_says=", ".join(kinds),
        recovered="by itself, once there is room; the log says why it waits",
    )


async def test_a_stop_while_the_next_hop_says_nothing_after_the_dot(
    patient: Ward, hanging_port: int, matrix: Matrix
) -> None:
    """It may have it: that is written down, and it is tried again after the next start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(patient.site.partner.certificate, patient.site.partner.key)
    async with Peer(Script(replies={"DOT": HANG}), port=hanging_port, tls=context) as peer:

        def stop_in_the_middle() -> list[str]:
            sent = patient.send("b@hanging.example")
            wait_for(lambda: peer.received, "the message to be there")
            patient.relayd.child.signal(signal.SIGTERM)
            assert patient.relayd.child.wait(45) == 0
            first = patient.journal(sent.id)
            peer.script.replies.clear()
            patient.relayd.start()
            return [*first, "|", *patient.wait_until_final(sent)[len(first) :]]

        kinds = await asyncio.to_thread(stop_in_the_middle)
    assert kinds == ["received", "judged", "ambiguous", "|", "delivered"]
    matrix.row(
        SIGNALS,
        "the next hop hangs after the final dot",
        "SIGTERM",
        client_saw="250 2.0.0 before",
        journal_says="received, judged, ambiguous, delivered",
        recovered="after the next start; it may have come twice",
    )
